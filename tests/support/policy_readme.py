"""The tables of app/policy/README.md, made from the code. `python -m tests.support.policy_readme --write` puts them in."""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path

from app.policy.duty import ASKS, TELLS
from app.policy.reason import FAMILIES, MEANINGS
from app.policy.rules import RULES
from app.policy.switches import CHOICES, Switches

README = Path(__file__).parents[2] / "app" / "policy" / "README.md"


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def rules() -> str:
    return _table(("No.", "Rule", "Says", "Clause"), [(str(r.number), f"`{r.name}`", r.says, r.clause) for r in RULES])


def choices() -> str:
    default = Switches().as_json()["choices"]
    rows = [
        (one.id, f"`{key}`", one.means, one.expected, f"`{json.dumps(default[key]['value'])}`")
        for key, one in sorted(CHOICES.items(), key=lambda pair: int(pair[1].id[1:]))
    ]
    return _table(("", "Key", "Means", "May be", "If not set"), rows)


def reasons() -> str:
    rows = [(f"`{code}`", text) for code, text in MEANINGS.items()]
    return _table(
        ("Code", "Means"),
        rows + [(f"`{start}…`", f"{text}; the rest is its status") for start, text in FAMILIES.items()],
    )


def tasks() -> str:
    kinds = (("Task", ASKS), ("Communication", TELLS))
    rows = [(f"`{code}`", kind, text) for kind, texts in kinds for code, text in texts.items()]
    return _table(("Obligation", "Made as", "It says"), rows)


PARTS = {"rules": rules, "choices": choices, "reasons": reasons, "tasks": tasks}


def renewed(text: str) -> str:
    """The text with every made part as the code makes it now."""
    for name, make in PARTS.items():
        block = f"<!-- made: {name} -->\n{make()}\n<!-- end: {name} -->"
        text, count = re.subn(
            f"<!-- made: {name} -->.*?<!-- end: {name} -->", lambda _, block=block: block, text, flags=re.S
        )  # type: ignore[misc]
        assert count == 1, name
    return text


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true")
    if parser.parse_args().write:
        README.write_text(renewed(README.read_text()))
