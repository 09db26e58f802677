"""The guides of docs/: their requests, what they say is answered, and how both are tried on a running server.

A block of `sh` is run as pasted, all of one guide in one shell, so that variables carry over. A block of `json` or `text`
directly after it is what is answered: of JSON every key and item that is given, of text every line; `…` stands for anything.
A block without one may answer anything but a refusal.
"""

from __future__ import annotations

import json
import re
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Any

DOCS = Path(__file__).parents[2] / "docs"
ANYTHING = "…"
_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Request:
    """One block to paste. `kind` is that of the answer that is told: json, text, or nothing."""

    line: int
    paste: str
    kind: str = ""
    answer: str = ""


def guides() -> list[Path]:
    return sorted(DOCS.glob("*.md"))


def requests(text: str) -> list[Request]:
    """The blocks to run, each with the answer that stands directly after it."""
    found: list[Request] = []
    ended = -1
    for block in _BLOCK.finditer(text):
        kind, body = block.groups()
        if kind == "sh":
            found.append(Request(text.count("\n", 0, block.start()) + 1, body))
            ended = block.end()
        elif kind in ("json", "text") and ended >= 0 and not text[ended : block.start()].strip():
            last = found.pop()
            found.append(Request(last.line, last.paste, kind, body))
            ended = -1
    return found


def script(asked: list[Request]) -> tuple[str, str]:
    """(the whole as one shell script, the line that it writes after each block)."""
    mark = f"-- {secrets.token_hex(8)}"
    return "set -eu\n" + "".join(f"{one.paste}\nprintf '\\n%s\\n' '{mark}'\n" for one in asked), mark


def fault(one: Request, said: str) -> str:
    """What is wrong with an answer; empty where it is as the guide says."""
    if one.kind == "text":
        missing = [line for line in one.answer.splitlines() if line.strip() and not _has_line(said, line)]
        return f"not answered: {missing}" if missing else ""
    if one.kind == "json":
        try:
            found = json.loads(said)
        except ValueError:
            return "no JSON is answered"
        return differs(json.loads(one.answer), found)
    return "a refusal is answered, and the guide does not say so" if refuses(said) else ""


def _has_line(said: str, line: str) -> bool:
    wanted = ".*".join(re.escape(part) for part in line.strip().split(ANYTHING))
    return re.search(wanted, said) is not None


def refuses(said: str) -> bool:
    try:
        found = json.loads(said)
    except ValueError:
        return '"OperationOutcome"' in said and '"error"' in said
    outcome = isinstance(found, dict) and found.get("resourceType") == "OperationOutcome"
    return outcome and any(issue.get("severity") in ("error", "fatal") for issue in found.get("issue", ()))


def differs(told: Any, found: Any, at: str = "$") -> str:
    """Where what is told is not a part of what is found; empty where it is."""
    if told == ANYTHING:
        return ""
    if isinstance(told, dict) and isinstance(found, dict):
        parts = (differs(value, found.get(name), f"{at}.{name}") for name, value in told.items())
        return next(filter(None, parts), "")
    if isinstance(told, list) and isinstance(found, list):
        for number, item in enumerate(told):
            if all(differs(item, other, at) for other in found):
                closest = differs(item, found[number], f"{at}[{number}]") if number < len(found) else ""
                return closest or f"{at}[{number}]: {item} is not there"
        return ""
    if isinstance(told, str) and ANYTHING in told and isinstance(found, str) and _has_line(found, told):
        return ""
    return "" if told == found and type(told) is type(found) else f"{at}: told {told!r}, answered {found!r}"
