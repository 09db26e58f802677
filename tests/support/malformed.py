"""Requests that are wrong, as data in `tests/malformed`: what is sent, and what is to be said of it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from tests.support.region import FHIR_JSON

FOLDER = Path(__file__).parents[1] / "malformed"


@dataclass(frozen=True)
class Request:
    """`at` is the expression, or else a part of the text, that names the place of the fault."""

    group: str
    says: str
    method: str
    path: str
    headers: dict[str, str]
    body: bytes | None
    status: int
    at: str

    def __str__(self) -> str:
        return f"{self.group}: {self.says}"


def requests() -> list[Request]:
    found = []
    for path in sorted(FOLDER.glob("*-*.json"), key=lambda one: int(one.name.split("-")[0])):
        found += [request(path.stem, case) for case in json.loads(path.read_text())["cases"]]
    return found


def request(group: str, case: dict[str, Any]) -> Request:
    body = _body(case)
    path = case["path"]
    if "longer" in case:
        text, times = case["longer"]
        path += text * times
    headers = {"Content-Type": FHIR_JSON} if body is not None else {}
    headers |= case.get("headers", {})
    return Request(group, case["says"], case["method"], path, headers, body, case.get("status", 0), case.get("at", ""))


def _body(case: dict[str, Any]) -> bytes | None:
    if "json" in case:
        return orjson.dumps(case["json"])
    if "text" in case:
        return case["text"].encode()
    if "hex" in case:
        return bytes.fromhex(case["hex"])
    if "repeat" in case:
        return b"".join(
            part.encode() if isinstance(part, str) else part[0].encode() * part[1] for part in case["repeat"]
        )
    return None
