"""read: one study by its id, asked by the trust that treats the patient. Decided, audited, durable."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping

from benchmarks.harness.load import Request, request
from benchmarks.harness.table import at_least, under_load
from benchmarks.harness.world import World


@under_load("read", "a study by id, as the treating trust", at_least(2500), grows=True)
def read(world: World, tokens: Mapping[str, str]) -> Iterator[Request]:
    pick = random.Random(1)
    while True:
        patient = pick.choice(world.read)
        id = pick.choice([world.study_id(patient, study) for study in range(world.per_patient)])
        if id in world.shared(patient):
            yield request(
                "GET",
                f"/fhir/ImagingStudy/{id}",
                token=tokens["asker"],
                check=lambda body, id=id: body["id"] == id and len(body["series"]) == 2,
            )
        else:
            yield request("GET", f"/fhir/ImagingStudy/{id}", token=tokens["asker"], expected=(404,))
