"""The decision alone, in one process without a database: an ordinary patient, and patients with more and more rules.

Beside it the time that a hundred rules more cost each, which shows whether the cost is linear in them.
"""

from __future__ import annotations

import time

from app.policy.decide import Person, decide, residual
from app.policy.directive import Directive, compile_consent
from app.policy.model import Relationship, Request, Requester, Study
from app.policy.study import compile_study
from app.policy.switches import Switches
from benchmarks.harness.table import Bench, Row, at_most, measured, percentiles
from benchmarks.harness.world import ASKER, MAKERS, NO_MR, World

AT = 1_790_000_000_000_000
ZONE = "Europe/London"
RULES = (1, 10, 100, 500)
TURN = 100  # decisions timed together; fewer where each takes long


def request() -> Request:
    organisation = f"ods:{ASKER}"
    return Request(Requester(organisation, frozenset({organisation}), client="bench-asker"), "TREAT")


def known(asked: str) -> str | None:
    """What references stand for: the makers are known by their codes, and are parts of nothing."""
    if asked.startswith("identifier:"):
        return f"ods:{asked.rpartition('|')[2]}"
    return None if asked.startswith("parent:") else asked


def study() -> Study:
    resource = World(1).study(0, 0) | {"subject": {"reference": "Patient/p1"}}
    return compile_study(resource, known, f"ods:{MAKERS[0]}", ZONE)


def person(directives: tuple[Directive, ...] = ()) -> Person:
    """A patient in the asker's care."""
    episode = Relationship(
        "EpisodeOfCare/e1", 1, "episode", "active", "Patient/p1", frozenset({f"ods:{ASKER}"}), start=AT - 10**12
    )
    return Person(frozenset({"Patient/p1"}), relationships=(episode,), directives=directives)


def consent(rules: int) -> Directive:
    """A permission with so many exceptions, of which none concerns the study."""
    resource = World(1).consent(0, NO_MR)
    (exception,) = resource["provision"]["provision"]
    resource["provision"]["provision"] = [
        exception | {"code": [{"coding": [{"system": "http://snomed.info/sct", "code": str(100_000 + number)}]}]}
        for number in range(rules)
    ]
    return compile_consent(resource | {"patient": {"reference": "Patient/p1"}}, known, ZONE)


def micros(seconds: float, who: Person, turn: int = TURN) -> list[float]:
    """Microseconds that each decision took, by turns of so many."""
    asked, about, switches, found = request(), study(), Switches(), []
    assert decide(asked, who, about, switches, AT).permitted
    until = time.perf_counter() + seconds
    while time.perf_counter() < until or len(found) < 5:
        began = time.perf_counter()
        for _ in range(turn):
            decide(asked, who, about, switches, AT)
        found.append((time.perf_counter() - began) / turn * 1e6)
    return found


@measured("decision", "microseconds for one decision, ordinary patient", at_most(20, "µs"))
def decision(bench: Bench) -> list[Row]:
    share = bench.seconds / (2 + len(RULES))
    times = micros(share, person())
    rows = [_row("ordinary patient", times)]
    switches = Switches()
    began = time.perf_counter()
    for _ in range(TURN):
        residual(request(), person(), switches, AT)
    rows.append(
        Row("decision", "left open in the study", value=round((time.perf_counter() - began) / TURN * 1e6, 2), unit="µs")
    )
    for rules in RULES:
        row = _row(f"{rules} rules", micros(share, person((consent(rules),)), max(1, TURN // rules)))
        row.notes["a rule"] = round(((row.value or 0) - (rows[0].value or 0)) / rules, 3)
        rows.append(row)
    for row in rows[1:]:
        row.target = "–"
    return rows


def _row(what: str, times: list[float]) -> Row:
    p50, p95, p99 = percentiles(times)
    return Row(
        "decision",
        what,
        value=round(p50, 2),
        unit="µs",
        number=len(times),
        notes={"p95": round(p95, 2), "p99": round(p99, 2)},
    )
