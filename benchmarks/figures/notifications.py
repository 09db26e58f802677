"""Notifications: how soon after the commit an event arrives, how many a second four workers deliver, what matching costs.

Each on a database of its own with a server, workers and a receiver of their own, over loopback.
"""

from __future__ import annotations

import http.client
import json
import statistics
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from app import create_app
from app.config import Settings
from app.interactions import Services
from app.notifications.matching import Matcher
from app.storage import resources, schema, subscriptions
from app.storage.engine import Tx
from benchmarks.harness.table import Bench, Row, Target, at_least, measured
from tests.doors.doors import ALL
from tests.notifications.conftest import subscribed
from tests.support.receiver import Receiver
from tests.support.region import caller, episode, settle
from tests.support.server import FLASK, Running

PACE = 100  # events a second
EPISODES = 50
FAN = 20  # subscriptions to the same events
WORKERS = 4
MANY = 10_000
WITHIN = Target("p50 ≤ 50 ms, p99 ≤ 500 ms", lambda row: (row.p50 or 1e9) <= 50 and (row.p99 or 1e9) <= 500)


@dataclass
class Place:
    server: Running
    receiver: Receiver
    token: str
    settings: Settings

    def send(self, method: str, path: str, body: Any) -> tuple[int, Any]:
        parts = urlsplit(self.server.address)
        wire = http.client.HTTPConnection(str(parts.hostname), parts.port, timeout=30)
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/fhir+json"}
        wire.request(method, f"/fhir{path}", json.dumps(body) if body is not None else None, headers)
        answer = wire.getresponse()
        found = answer.status, json.loads(answer.read())
        wire.close()
        return found

    def subscribe(self) -> None:
        made = subscribed("episode-changed", self.receiver.url, "full-resource", most=10)
        status, body = self.send("POST", "/Subscription", made)
        assert status == 201, body
        until = time.monotonic() + 60
        while self.send("GET", f"/Subscription/{body['id']}", None)[1]["status"] != "active":
            assert time.monotonic() < until, "the subscription never became active"
            time.sleep(0.02)

    def write(self, number: int) -> None:
        made = episode(f"x{number % EPISODES}", type=[{"text": f"version {number}"}])
        status, body = self.send("PUT", f"/EpisodeOfCare/{made['id']}", made)
        assert status in (200, 201), body


@contextmanager
def place(bench: Bench, folder: Path) -> Iterator[Place]:
    """A registry with its worker on an empty database, a small region in it, and somebody to be notified."""
    folder.mkdir(exist_ok=True)
    server = Running(folder, REGISTRY_DATABASE_URL=bench.empty_database(), REGISTRY_DEMO_DATA="0")
    settings = Settings(
        database_url=server.environment["REGISTRY_DATABASE_URL"],
        keys_dir=f"{folder}/keys",
        base_url=f"{server.address}/fhir",
        log_level="error",
    )
    app = create_app(settings)
    schema.upgrade(app.extensions["services"].store)
    settle(app)
    token = caller(app).token
    app.extensions["services"].store.close()
    receiver = Receiver()
    try:
        server.start()
        yield Place(server, receiver, token, settings)
    finally:
        server.close()
        receiver.close()


@measured("notification", "from the acknowledgement of a change to its notification, at 100 changes a second", WITHIN)
def notification(bench: Bench) -> Row:
    with place(bench, bench.folder / "notification") as here:
        here.subscribe()
        committed: dict[int, float] = {}
        total = int(PACE * bench.seconds)
        began = time.time()
        for number in range(total):
            time.sleep(max(0.0, began + number / PACE - time.time()))
            here.write(number)
            committed[number] = time.time()
        until = time.monotonic() + 60
        while len(arrived(here.receiver)) < total and time.monotonic() < until:
            time.sleep(0.05)
        came = arrived(here.receiver)
    delays = sorted(max(0.0, came[number] - at) * 1000 for number, at in committed.items() if number in came)
    points = statistics.quantiles(delays, n=100)
    return Row(
        "notification",
        "from the acknowledgement of a change to its notification",
        p50=points[49],
        p95=points[94],
        p99=points[98],
        number=len(delays),
        notes={"lost": total - len(delays), "changes a second": round(total / (max(committed.values()) - began), 1)},
    )


def arrived(receiver: Receiver) -> dict[int, float]:
    """number of the change → when its event, or that of a later version of the same, first came."""
    found: dict[int, float] = {}
    for one in list(receiver.received)[1:]:
        for entry in one.json["entry"][1:]:
            number = int(entry["resource"]["type"][0]["text"].split()[1])
            found.setdefault(number, one.at)
    return found


@measured("deliveries", "delivered by four workers to one receiver, of twenty subscriptions", at_least(500))
def deliveries(bench: Bench) -> Row:
    with place(bench, bench.folder / "deliveries") as here:
        for _ in range(FAN):
            here.subscribe()
        more = [
            subprocess.Popen([FLASK, "--app", "wsgi", "worker"], env=here.server.environment, stderr=subprocess.DEVNULL)
            for _ in range(WORKERS - 1)
        ]
        try:
            time.sleep(3)
            before, total = len(here.receiver.received), 100
            began = time.time()
            for number in range(total):
                here.write(number)
            until = time.monotonic() + 60
            while events(here.receiver, before) < total * FAN and time.monotonic() < until:
                time.sleep(0.05)
            came, last = events(here.receiver, before), max(one.at for one in list(here.receiver.received))
        finally:
            for one in more:
                one.terminate()
            for one in more:
                one.wait(30)
    return Row(
        "deliveries",
        "events delivered a second, of twenty subscriptions to the same changes",
        rate=came / (last - began),
        number=came,
        notes={"lost": total * FAN - came},
    )


def events(receiver: Receiver, before: int) -> int:
    return sum(len(one.json["entry"]) - 1 for one in list(receiver.received)[before:])


MATCHING = Target("≤ 5 ms", lambda row: row.value is not None and row.value <= 5)


@measured("matching", "processor time to match one change with 10,000 subscriptions of 100 organisations", MATCHING)
def matching(bench: Bench) -> Row:
    settings = Settings(
        database_url=bench.empty_database(), keys_dir=str(bench.folder / "matching-keys"), log_level="error"
    )
    app = create_app(settings)
    services: Services = app.extensions["services"]
    schema.upgrade(services.store)
    settle(app)
    for number in range(100):
        caller(app, ods=f"RY{number:03}")
    made = subscribed("episode-changed", "http://127.0.0.1:9/notify", "id-only") | {"status": "active"}

    def fill(tx: Tx) -> None:
        for number in range(MANY):
            stored = resources.create(tx, ALL, made, f"many-{number}", "PUT")
            client = f"backend-ry{number % 100:03}-system-treat"
            subscriptions.register(tx, stored.rid, stored.id, client, "active", None)

    services.store.retry(fill)
    matcher = Matcher(services)
    while matcher.turn():
        pass
    steward = caller(app, "steward", "ZZZ", purpose=None)
    for number in range(50):
        steward.put("/EpisodeOfCare/e1", episode(type=[{"text": f"version {number}"}]))
    began, changes = time.thread_time(), 0
    while found := matcher.turn():
        changes += found
    spent = time.thread_time() - began
    services.store.close()
    return Row(
        "matching",
        "processor time to match one change with 10,000 subscriptions",
        value=round(spent / changes * 1000, 3),
        unit="ms",
        number=changes,
    )
