"""Read and authorised search over HTTP, as shares of what the bare web framework does in the same process and run.

`python -m benchmarks.sharing [--dburl URL] [--patients N] [--seconds S]`: in one process, through the WSGI interface.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from flask import Flask

from app import create_app
from app.config import Settings
from app.storage import schema
from tests.support.region import Caller, caller, episode, patient, settle, study


def filled(app: Flask, patients: int) -> Caller:
    """A region with so many patients, each with two studies at A and an episode at B."""
    steward = settle(app)
    entries: list[dict[str, Any]] = []
    for n in range(patients):
        id = f"b{n}"
        made = [patient(id) | {"identifier": [{"system": "urn:bench", "value": str(n)}]}]
        made += [study(f"{id}-{k}", f"1.2.3.{n + 1}.{k + 1}", subject=id) for k in range(2)]
        made.append(episode(f"e{id}", subject=id))
        entries += [
            {"resource": one, "request": {"method": "PUT", "url": f"{one['resourceType']}/{one['id']}"}} for one in made
        ]
        if len(entries) >= 400 or n == patients - 1:
            answer = steward.post("", {"resourceType": "Bundle", "type": "transaction", "entry": entries})
            assert answer.status_code == 200, answer.text
            entries = []
    return caller(app)


def timed(work: Callable[[int], int], seconds: float) -> dict[str, float]:
    """Requests a second and the percentiles of their times in milliseconds. Every answer must be 200."""
    times: list[float] = []
    begin = time.perf_counter()
    while time.perf_counter() - begin < seconds:
        start = time.perf_counter()
        assert work(len(times)) == 200
        times.append((time.perf_counter() - start) * 1000)
    points = statistics.quantiles(times, n=100)
    return {"per_second": len(times) / seconds, "p50": points[49], "p95": points[94], "p99": points[98]}


def run(dburl: str | None, patients: int, seconds: float) -> dict[str, dict[str, float]]:
    """Each figure, and its share of the bare framework's rate."""
    with tempfile.TemporaryDirectory() as folder:
        url = dburl or f"sqlite:///{Path(folder) / 'bench.db'}"
        app = create_app(Settings(database_url=url, keys_dir=f"{folder}/keys", log_level="error"))
        schema.upgrade(app.extensions["services"].store)
        own = filled(app, patients)
        pick = random.Random(1)
        http = app.test_client()

        def search(_: int) -> int:
            n = pick.randrange(patients)
            path = f"/ImagingStudy?patient.identifier=urn:bench|{n}&_include=ImagingStudy:endpoint"
            return own.get(path).status_code

        found = {
            "bare framework": timed(lambda _: http.get("/health/live").status_code, seconds),
            "read": timed(lambda n: own.get(f"/ImagingStudy/b{pick.randrange(patients)}-0").status_code, seconds),
            "search of one patient with endpoints": timed(search, seconds),
            "search of everything": timed(lambda _: own.get("/ImagingStudy?_count=20").status_code, seconds),
        }
        for figures in found.values():
            figures["share"] = figures["per_second"] / found["bare framework"]["per_second"]
        app.extensions["services"].store.close()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dburl", help="an empty database; a temporary SQLite if not given")
    parser.add_argument("--patients", type=int, default=500)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    found = run(given.dburl, given.patients, given.seconds)
    if given.json:
        print(json.dumps(found))
        return
    print(f"{'':38} {'1/s':>8} {'p50 ms':>8} {'p95':>8} {'p99':>8} {'share':>7}")
    for name, f in found.items():
        print(f"{name:38} {f['per_second']:8.0f} {f['p50']:8.2f} {f['p95']:8.2f} {f['p99']:8.2f} {f['share']:7.1%}")


if __name__ == "__main__":
    main()
