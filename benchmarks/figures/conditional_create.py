"""conditional create by 32 clients: each key is asked for four times, mostly at once, and one resource is to come of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import count
from typing import Any
from urllib.parse import quote

from app.storage.engine import Store
from benchmarks.harness.load import Request, request
from benchmarks.harness.site import Site
from benchmarks.harness.table import at_least, under_load
from benchmarks.harness.world import World

BASE = 200_000
SYSTEM = "https://once.example/key"
TIMES = 4  # that each key is asked for


def made(site: Site) -> dict[str, Any]:
    """How many keys there are and how many resources bear them. Raises AssertionError where one was made twice."""
    store = Store(site.url)
    with store.begin(reads=True) as tx:
        row = tx.one(
            "SELECT count(DISTINCT rid), count(DISTINCT value) FROM identifier WHERE value >= 'once-' AND value < 'once.'"
        )
    store.close()
    assert row is not None
    resources, keys = row
    if resources != keys:
        raise AssertionError(f"{resources} resources were made for {keys} keys; expected one each")
    return {"keys": keys, "resources": resources}


@under_load(
    "conditional create",
    "the same by If-None-Exist, 32 clients, four for each key",
    at_least(500),
    connections=32,
    after=made,
)
def conditional_create(world: World, tokens: Mapping[str, str]) -> Iterator[Request]:
    for number in count():
        study = world.new_study(number, BASE)
        study["identifier"].append({"system": SYSTEM, "value": f"once-{number}"})
        one = request(
            "POST",
            "/fhir/ImagingStudy",
            study,
            token=tokens["archive"],
            expected=(200, 201),
            headers={"If-None-Exist": f"identifier={quote(SYSTEM, safe='')}%7Conce-{number}"},
            check=lambda body, study=study: body["identifier"] == study["identifier"],
        )
        for _ in range(TIMES):
            yield one
