"""The search that the registry is for: one patient's studies with the archives that hold them, as far as they are shared.

Three of a hundred patients hold a Consent, and what the answer holds is checked against it.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote

from app.fhir.identifier import NHS_NUMBER
from benchmarks.harness.load import Request, request
from benchmarks.harness.table import Target, under_load
from benchmarks.harness.world import World

TARGET = Target(
    "≥ 1,000/s, p99 < 25 ms",
    lambda row: row.rate is not None and row.rate >= 1000 and row.p99 is not None and row.p99 < 25,
)


def ids(body: Mapping[str, Any], mode: str = "match") -> list[str]:
    return [entry["resource"]["id"] for entry in body.get("entry", ()) if entry["search"]["mode"] == mode]


def path(world: World, patient: int) -> str:
    system = quote(NHS_NUMBER, safe="")
    return f"/ImagingStudy?patient.identifier={system}%7C{world.numbers[patient]}&_include=ImagingStudy:endpoint"


@under_load("search", "one patient's studies with Endpoints, audited", TARGET, grows=True)
def search(world: World, tokens: Mapping[str, str]) -> Iterator[Request]:
    pick = random.Random(2)
    while True:
        patient = pick.choice(world.read)

        def right(body: Mapping[str, Any], patient: int = patient) -> bool:
            shared = world.shared(patient)
            return sorted(ids(body)) == sorted(shared) and bool(ids(body, "include")) == bool(shared)

        yield request("GET", f"/fhir{path(world, patient)}", token=tokens["asker"], check=right)
