"""The look-up that a reporting system makes: the study of an accession number, whoever the patient is."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from urllib.parse import quote

from benchmarks.figures.search import ids
from benchmarks.harness.load import Request, request
from benchmarks.harness.table import under_load
from benchmarks.harness.world import World


@under_load("accession", "a study by accession number, no patient named", grows=True)
def accession(world: World, tokens: Mapping[str, str]) -> Iterator[Request]:
    pick = random.Random(5)
    while True:
        patient, study = pick.choice(world.read), pick.randrange(world.per_patient)
        system, value = world.accession(patient, study)
        wanted = [id for id in [world.study_id(patient, study)] if id in world.shared(patient)]
        yield request(
            "GET",
            f"/fhir/ImagingStudy?identifier={quote(system, safe='')}%7C{value}",
            token=tokens["asker"],
            check=lambda body, wanted=wanted: ids(body) == wanted,
        )
