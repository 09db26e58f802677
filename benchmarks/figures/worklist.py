"""The worklist: the newest studies of a kind among all patients in one's care, 500 of them, without naming any; and the
same for a list of 500 patients that the request names, as a clinic's does.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlencode

from benchmarks.harness.load import Request, request
from benchmarks.harness.table import Target, under_load
from benchmarks.harness.world import MODALITIES, World

TARGET = Target("p50 < 15 ms", lambda row: row.p50 is not None and row.p50 < 15)
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


def _all_of(body: Mapping[str, Any], patients: set[str], modality: str) -> bool:
    found = [entry["resource"] for entry in body.get("entry", ()) if entry["search"]["mode"] == "match"]
    right = all(
        one["subject"]["reference"].removeprefix("Patient/") in patients and one["modality"][0]["code"] == modality
        for one in found
    )
    started = [one["started"] for one in found]
    return bool(found) and right and started == sorted(started, reverse=True)


@under_load("worklist", "newest of a kind among 500 patients in care", TARGET, grows=True)
def worklist(world: World, tokens: Mapping[str, str]) -> Iterator[Request]:
    pick, patients = random.Random(3), {world.patient_id(patient) for patient in world.ward}
    while True:
        modality = pick.choice(MODALITIES)[0]
        query = urlencode({"modality": modality, "status": "available", "_sort": "-started", "_count": "50"})
        yield request(
            "GET",
            f"/fhir/ImagingStudy?{query}",
            token=tokens["ward"],
            check=lambda body, modality=modality: _all_of(body, patients, modality),
        )


@under_load("worklist named", "newest of a kind among 500 patients named", TARGET, grows=True)
def named(world: World, tokens: Mapping[str, str]) -> Iterator[Request]:
    pick, most = random.Random(4), min(500, len(world.read))
    while True:
        first = pick.randrange(len(world.read) - most + 1)
        names = [world.patient_id(patient) for patient in range(first, first + most)]
        modality = pick.choice(MODALITIES)[0]
        form = {"patient": ",".join(names), "modality": modality, "_sort": "-started", "_count": "50"}
        yield request(
            "POST",
            "/fhir/ImagingStudy/_search",
            urlencode(form).encode(),
            token=tokens["asker"],
            headers=FORM,
            check=lambda body, names=names, modality=modality: _all_of(body, set(names), modality),
        )
