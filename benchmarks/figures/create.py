"""create: one study of 2 kB by the archive that holds it, validated, references resolved, indexed, audited, durable."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import count

from benchmarks.harness.load import Request, request
from benchmarks.harness.table import at_least, under_load
from benchmarks.harness.world import World

BASE = 1_000


@under_load("create", "a study of 2 kB, by the archive that holds it", at_least(600), grows=True)
def create(world: World, tokens: Mapping[str, str]) -> Iterator[Request]:
    for number in count():
        made = world.new_study(number, BASE)
        yield request(
            "POST",
            "/fhir/ImagingStudy",
            made,
            token=tokens["archive"],
            expected=(201,),
            check=lambda body, made=made: body["identifier"] == made["identifier"] and body["meta"]["versionId"] == "1",
        )
