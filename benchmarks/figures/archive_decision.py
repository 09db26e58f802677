"""gate decision: what an archive's gate asks before each study: proved by its secret, for a requester's token; audited."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Mapping

from benchmarks.harness.load import Request, request
from benchmarks.harness.table import Row, Target, under_load
from benchmarks.harness.world import World


def _good(row: Row) -> bool:
    return (row.rate or 0) >= 2000 and (row.p99 or 1e9) < 10


@under_load(
    "gate decision",
    "may this token have this study, asked by a gate",
    Target("≥ 2,000/s, p99 < 10 ms", _good),
    grows=True,
)
def decision(world: World, tokens: Mapping[str, str]) -> Iterator[Request]:
    pick = random.Random(7)
    headers = {"Authorization": f"Basic {tokens['gate']}", "Content-Type": "application/json"}
    while True:
        patient, study = pick.choice(world.read), pick.randrange(world.per_patient)
        allowed = world.study_id(patient, study) in world.shared(patient)
        asked = {"token": tokens["asker"], "study_uid": world.uid(patient, study), "action": "locate"}
        yield request(
            "POST",
            "/archive/decision",
            json.dumps(asked).encode(),
            headers=headers,
            check=lambda body, allowed=allowed: body["allowed"] is allowed,
        )
