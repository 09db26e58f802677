"""From the commit of an opt-out to the first refusal, on every worker: the longest of all, and how many answers leaked.

Connections enough to reach every worker ask for the same patient all the time. An answer leaks if it was asked for after
the opt-out had been acknowledged, and still shows a study.
"""

from __future__ import annotations

import http.client
import json
import statistics
import threading
import time
from urllib.parse import urlsplit

from benchmarks.figures.search import ids, path
from benchmarks.harness.table import Bench, Row, Target, measured
from benchmarks.harness.world import OPTED_IN, OPTED_OUT

WATCHERS = 12
PATIENTS = 5
LEAD_SECONDS = 0.3
MOST_SECONDS = 10
TARGET = Target("0 leaks", lambda row: row.notes["leaks"] == 0)


class Watcher(threading.Thread):
    """Asks until it is refused. `refused` is when the first refusal came; `leaks` counts answers that it should not have had."""

    def __init__(self, bench: Bench, patient: int) -> None:
        super().__init__(daemon=True)
        self.bench, self.patient = bench, patient
        self.acknowledged: float | None = None
        self.refused: float | None = None
        self.shown = self.leaks = 0

    def run(self) -> None:
        parts = urlsplit(self.bench.site.address)
        wire = http.client.HTTPConnection(str(parts.hostname), parts.port, timeout=30)
        headers = {"Authorization": f"Bearer {self.bench.site.tokens['asker']}"}
        until = time.perf_counter() + MOST_SECONDS
        while time.perf_counter() < until:
            asked_after = self.acknowledged is not None
            wire.request("GET", f"/fhir{path(self.bench.world, self.patient)}", headers=headers)
            body = json.loads(wire.getresponse().read())
            if not ids(body):
                self.refused = time.perf_counter()
                break
            self.shown += 1
            self.leaks += asked_after
        wire.close()


def withdraw(bench: Bench, patient: int) -> list[Watcher]:
    """Watch while the patient opts out; every watcher has seen the studies before."""
    watchers = [Watcher(bench, patient) for _ in range(WATCHERS)]
    for watcher in watchers:
        watcher.start()
    time.sleep(LEAD_SECONDS)
    status, committed = _put(bench, patient, OPTED_OUT)
    for watcher in watchers:
        watcher.acknowledged = committed
    assert status in (200, 201), f"the opt-out was answered with {status}"
    for watcher in watchers:
        watcher.join()
        assert watcher.shown, "a watcher saw nothing before the opt-out"
        assert watcher.refused is not None, f"not refused within {MOST_SECONDS} s"
    return watchers


def _put(bench: Bench, patient: int, choice: int) -> tuple[int, float]:
    consent = bench.world.consent(patient, choice)
    parts = urlsplit(bench.site.address)
    wire = http.client.HTTPConnection(str(parts.hostname), parts.port, timeout=30)
    headers = {"Authorization": f"Bearer {bench.site.tokens['steward']}", "Content-Type": "application/fhir+json"}
    wire.request("PUT", f"/fhir/Consent/{consent['id']}", json.dumps(consent), headers)
    answer = wire.getresponse()
    at = time.perf_counter()
    answer.read()
    wire.close()
    return answer.status, at


@measured("withdrawal", "ms from the opt-out's acknowledgement to the last watcher's refusal", TARGET)
def withdrawal(bench: Bench) -> Row:
    people = [patient for patient in bench.world.read if bench.world.ordinary(patient)][-PATIENTS:]
    watched = [watcher for patient in people for watcher in withdraw(bench, patient)]
    for patient in people:
        _put(bench, patient, OPTED_IN)
    delays = [max(0.0, (one.refused or 0) - (one.acknowledged or 0)) * 1000 for one in watched]
    return Row(
        "withdrawal",
        "ms from the opt-out's acknowledgement to the last watcher's refusal",
        value=round(max(delays), 2),
        unit="ms",
        number=len(watched),
        notes={"leaks": sum(one.leaks for one in watched), "p50 ms": round(statistics.median(delays), 2)},
    )
