"""A subscriber that hangs and one that answers nonsense: the others are told as if they were not there."""

from __future__ import annotations

import threading
import time
from pathlib import Path

from app.notifications.worker import Worker
from tests.faults.common import Found, region
from tests.notifications.conftest import subscribed
from tests.support.machines import until
from tests.support.receiver import Received, Receiver
from tests.support.region import caller, episode


def hangs(_: Received) -> int | float:
    return 200 if _.status["type"] == "handshake" else 5.0


def breaks_off(_: Received) -> int | float:
    return 200 if _.status["type"] == "handshake" else 0


def run(dburl: str, folder: Path, size: int) -> Found:
    """`size` events, of which three subscribers are to be told."""
    found = Found()
    receivers = [Receiver(), Receiver(hangs), Receiver(breaks_off)]
    with region(dburl, folder) as (app, steward):
        engine = caller(app)
        worker = Worker(app.extensions["services"], threads=3, wait=lambda attempts: 0.5)
        thread = threading.Thread(target=worker.run)
        thread.start()
        try:
            for one in receivers:
                made = engine.post("/Subscription", subscribed("episode-changed", one.url, most=50, timeout=1))
                found.must(made.status_code == 201, made.text)
                until(lambda id=made.json["id"]: _active(steward, id), "no handshake")
            began = time.monotonic()
            for number in range(size):
                steward.put(f"/EpisodeOfCare/f{number}", episode(f"f{number}"))
            good = receivers[0]
            until(lambda: _told(good) >= size, f"the good one is not told: {_told(good)}")
            found.counters |= {"events": size, "told": _told(good), "seconds": round(time.monotonic() - began, 1)}
            found.counters["tries of the bad ones"] = sum(len(one.received) for one in receivers[1:])
        finally:
            worker.stopping.set()
            thread.join(60)
            for one in receivers:
                one.close()
    return found


def _active(steward: object, id: str) -> bool:
    return bool(steward.get(f"/Subscription/{id}").json["status"] == "active")  # type: ignore[attr-defined]


def _told(receiver: Receiver) -> int:
    return len({event["event-number"] for one in list(receiver.received) for event in one.status["events"]})
