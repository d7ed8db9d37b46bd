//! Values that JSON does not hold, all the way from a function in Python to the outputs.

use tests::outcome::{json_lines, lines};
use tests::place::Place;

const SOURCE: &str = r#"python = '''
import dataclasses, datetime, decimal, enum, pathlib, uuid

@dataclasses.dataclass
class Point:
    x: int
    y: object

class Colour(enum.Enum):
    RED = "red"

class Array:
    def __init__(self, *items):
        self.items = items

    def tolist(self):
        return list(self.items)

def work(n):
    if n == 2:
        return {"number": 1 << 70}
    if n == 3:
        return {"deep": [0, {"nan": float("nan")}]}
    return {
        "when": datetime.datetime(2024, 2, 29, 12, 30),
        "took": datetime.timedelta(milliseconds=1500),
        "where": pathlib.Path("a", "b"),
        "price": decimal.Decimal("1.10"),
        "raw": bytes([0, 255, 254]),
        "tags": {"b", "a"},
        "at": Point(1, Point(2, None)),
        "colour": Colour.RED,
        "array": Array(1, Array(2.5)),
        "pair": (1, 2),
        "id": uuid.UUID(int=7),
    }
'''"#;

fn topology(place: &Place, concurrency: u32, output: &str) -> String {
    let text = format!(
        "[source]\nkind = \"range\"\nfrom = 1\nto = 3\n[[stage]]\nname = \"values\"\nworkers = 1\nretries = 0\n\
         concurrency = {concurrency}\n{SOURCE}\n[sink]\noutput = \"{output}\"\ndead = \"dead.jsonl\"\n"
    );
    place.write("t.toml", text).display().to_string()
}

/// In JSON lines and in csv, with one unit at a time and with many.
#[test]
fn values_that_json_does_not_hold_reach_the_outputs_in_their_forms() {
    for concurrency in [1, 8] {
        let place = Place::new();
        let up = |output: &str| {
            let file = topology(&place, concurrency, output);
            let run_dir = format!("run-{output}");
            place.run("pipeline", &["up", &file, "--run-dir", &run_dir, "--overwrite"])
        };
        let ended = up("out.jsonl");
        assert_eq!(ended.code, Some(1), "{}", ended.stderr);
        let expected = concat!(
            r#"{"when":"2024-02-29T12:30:00","took":1.5,"where":"a/b","price":"1.10","#,
            r#""raw":"AP/+","tags":["a","b"],"at":{"x":1,"y":{"x":2,"y":null}},"colour":"red","#,
            r#""array":[1,[2.5]],"pair":[1,2],"id":"00000000-0000-0000-0000-000000000007"}"#
        );
        assert_eq!(lines(&place.path("out.jsonl")), [expected]);
        let letters = json_lines(&place.path("dead.jsonl"));
        let errors: Vec<_> = letters.iter().map(|letter| letter["error"].as_str()).collect();
        assert_eq!(
            errors,
            [
                Some(
                    "ValueError: result['number'] is an int, and 1180591620717411303424 does not fit 64 bits; return it as text"
                ),
                Some(
                    "ValueError: result['deep'][1]['nan'] is nan (a float), which JSON does not have; return None for it"
                ),
            ]
        );
        let ended = up("out.csv");
        assert_eq!(ended.code, Some(1), "{}", ended.stderr);
        let rows = lines(&place.path("out.csv"));
        assert!(
            rows[1].starts_with("2024-02-29T12:30:00,1.5,a/b,1.10,AP/+,\"[\"\"a\"\",\"\"b\"\"]\""),
            "{rows:?}"
        );
    }
}
