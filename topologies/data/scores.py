#!/usr/bin/env python3
"""A worker in another language: one JSON value a line in, one a line out.

Takes a row of scores.csv (a map from column to text) and gives the name, the town and the
weighted score. A line must leave as soon as it is complete, hence the flush.
"""

import json
import sys

WEIGHTS = {"reading": 3, "writing": 2, "sums": 5}

for line in sys.stdin:
    row = json.loads(line)
    total = sum(weight * int(row[subject]) for subject, weight in WEIGHTS.items())
    score = total / sum(WEIGHTS.values())
    print(json.dumps({"name": row["name"], "town": row["town"], "score": score}), flush=True)
