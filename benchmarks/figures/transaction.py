"""transaction: a new patient, an episode and eight studies that refer to the patient by urn:uuid, all or nothing."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from itertools import count
from typing import Any

from app.demo.naming import reference
from benchmarks.harness.load import Request, request
from benchmarks.harness.table import under_load
from benchmarks.harness.world import ASKER, World

BASE = 400_000
STUDIES = 8


def bundle(world: World, number: int) -> dict[str, Any]:
    """The transaction `number`: ten entries."""
    name = f"urn:uuid:{uuid.UUID(int=(0xBE << 120) + number)}"
    like = world.written[number % len(world.written)]
    patient = {key: value for key, value in world.patient(like).items() if key != "id"}
    patient["identifier"] = [{"system": f"https://{ASKER.lower()}.example/mrn", "value": f"T{number:07d}"}]
    episode = {key: value for key, value in world.episode(like, ASKER).items() if key != "id"}
    studies = [world.new_study(number * STUDIES + study, BASE) for study in range(STUDIES)]
    about = reference(name)
    entries: list[tuple[str, dict[str, Any]]] = [(name, patient), ("", episode | {"patient": about})]
    entries += [("", study | {"subject": about}) for study in studies]
    return {
        "resourceType": "Bundle",
        "type": "transaction",
        "entry": [
            ({"fullUrl": url} if url else {})
            | {"resource": resource, "request": {"method": "POST", "url": resource["resourceType"]}}
            for url, resource in entries
        ],
    }


@under_load("transaction", "ten entries: patient, episode, eight studies", grows=True)
def transaction(world: World, tokens: Mapping[str, str]) -> Iterator[Request]:
    for number in count():
        yield request(
            "POST",
            "/fhir",
            bundle(world, number),
            token=tokens["steward"],
            check=lambda body: [one["response"]["status"][:3] for one in body["entry"]] == ["201"] * (STUDIES + 2),
        )
