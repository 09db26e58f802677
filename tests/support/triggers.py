"""The table of triggers in docs/episodes.md, made from the code. `python -m tests.support.triggers --write` puts it in."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from app.pathways.epr.derive import LINKS, TRIGGERS

GUIDE = Path(__file__).parents[2] / "docs" / "episodes.md"
DOES = {
    "refer": "waits (`waitlist`), or is `planned` where a date is stated",
    "book": "is to come (`planned`)",
    "move": "is to come at another time",
    "cancel": "is not to come any more",
    "attend": "is under way (`active`)",
    "take-back-attendance": "is as before it was attended",
    "discharge": "is over (`finished`)",
    "take-back-discharge": "is under way again",
    "remove": "never was",
}
JOINS = {
    "link": "one record has a link `seealso` to the other, which shares nothing",
    "merge": "the record that goes is `replaced-by` the other",
    "unlink": "neither has a link to the other, and each has its own again",
}


def table() -> str:
    rows = ["| v2 trigger | What happened | The visit |", "| --- | --- | --- |"]
    rows += [f"| {code} | {says} | {DOES[effect]} |" for code, (effect, says) in TRIGGERS.items()]
    return "\n".join(
        [*rows, *(f"| {code} | {says} | none: {JOINS[effect]} |" for code, (effect, _, says) in LINKS.items())]
    )


def renewed(text: str) -> str:
    made = f"<!-- made: triggers -->\n{table()}\n<!-- end: triggers -->"
    return re.sub(r"<!-- made: triggers -->.*<!-- end: triggers -->", made, text, flags=re.S)


if __name__ == "__main__" and "--write" in sys.argv:
    GUIDE.write_text(renewed(GUIDE.read_text()))
