"""What letters.toml has done with each line: an ordinary module, which knows nothing of pipelines."""

import collections
import dataclasses


@dataclasses.dataclass
class Line:
    """What is told of a line; becomes an object in the output."""

    words: int
    longest: str
    vowels: set[str]
    most_common: list[tuple[str, int]]


def look(line: str) -> Line | None:
    """Looks at a line; None for a blank one, which filters it."""
    words = line.split()
    if not words:
        return None
    letters = [letter for letter in line.lower() if letter.isalpha()]
    return Line(
        words=len(words),
        longest=max(words, key=len),
        vowels=set("aeiou") & set(letters),
        most_common=collections.Counter(letters).most_common(2),
    )
