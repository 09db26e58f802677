"""The table of attacks in docs/security.md, made from the marks. `python -m tests.support.attack_table --write` puts it in."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

from tests.security.attacks import ATTACKS, marked

PAGE = Path(__file__).parents[2] / "docs" / "security.md"


def attacks() -> str:
    """Number, attack, tests: each file once, with its tests without what they all begin with."""
    lines = ["| No. | Attack | Shown to fail by |", "| --- | --- | --- |"]
    for number, tests in marked().items():
        files: dict[str, list[str]] = {}
        for one in tests:
            path, _, name = one.partition("::")
            files.setdefault(path, []).append(name.removeprefix("test_"))
        said = "<br>".join(f"`{path}`: {', '.join(names)}" for path, names in files.items())
        lines.append(f"| {number} | {ATTACKS[number]} | {said} |")
    return "\n".join(lines)


def renewed(text: str) -> str:
    block = f"<!-- made: attacks -->\n{attacks()}\n<!-- end: attacks -->"
    return re.sub(r"<!-- made: attacks -->.*?<!-- end: attacks -->", lambda _: block, text, flags=re.S)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true")
    if parser.parse_args().write:
        PAGE.write_text(renewed(PAGE.read_text()))
