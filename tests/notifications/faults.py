"""Nothing is lost: web server and worker are killed again and again while events happen.

`python -m tests.notifications.faults [--events N] [--every S] [--dburl URL]`

Versions of episodes are written through the real server, by PUT and again until they are acknowledged, while its
processes are killed with SIGKILL. In the end a receiver must have every version that is in store: numbered without a gap,
in order for each episode, and more than once only under the same number.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import tempfile
import threading
import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests

from app import create_app
from app.config import Settings
from app.storage import schema
from tests.notifications.conftest import subscribed
from tests.support.receiver import Received, Receiver
from tests.support.region import caller, episode, settle
from tests.support.server import Running

EPISODES = 20
LEAST_KILLS = 3
PATIENCE_SECONDS = 120


@dataclass(frozen=True)
class Found:
    """`lost` are numbers that never came; `unordered` events that came before an earlier version of their focus."""

    written: int
    received: int
    repeated: int
    kills: int
    lost: tuple[int, ...]
    unordered: int


def run(dburl: str, folder: Path, events: int, every: float) -> Found:
    """Write `events` versions and kill something every `every` seconds. `dburl` names an empty database."""
    server = Running(folder, REGISTRY_DATABASE_URL=dburl, REGISTRY_DEMO_DATA="0", REGISTRY_LOG_LEVEL="error")
    base = f"{server.address}/fhir"
    app = create_app(Settings(database_url=dburl, keys_dir=f"{folder}/keys", log_level="error", base_url=base))
    schema.upgrade(app.extensions["services"].store)
    settle(app)
    token = caller(app).token
    app.extensions["services"].store.close()
    receiver = Receiver()
    stopping, kills = threading.Event(), [0]
    try:
        server.start()
        headers = {"Authorization": f"Bearer {token}"}
        made = requests.post(
            f"{base}/Subscription",
            json=subscribed("episode-changed", receiver.url, "full-resource", most=10),
            headers=headers | {"Content-Type": "application/fhir+json"},
            timeout=10,
        )
        assert made.status_code == 201, made.text
        until(lambda: status(base, headers, made.json()["id"]) == "active")
        killer = threading.Thread(target=kill, args=(server, every, stopping, kills))
        killer.start()
        number = 0
        while number < events or kills[0] < LEAST_KILLS:
            write(base, headers, number)
            number += 1
        stopping.set()
        killer.join()
        until(server.ready)
        written = sum(version(base, headers, f"x{n}") for n in range(min(number, EPISODES)))
        until(lambda: distinct(receiver.received) >= written)
    finally:
        stopping.set()
        server.close()
        receiver.close()
    return judged(receiver.received, written, kills[0])


def write(base: str, headers: dict[str, str], number: int) -> None:
    """One version of an episode, again until it is acknowledged."""
    resource = episode(f"x{number % EPISODES}", period={"start": "2026-01-01"}, type=[{"text": f"version {number}"}])
    end = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < end:
        try:
            answer = requests.put(
                f"{base}/EpisodeOfCare/{resource['id']}",
                json=resource,
                headers=headers | {"Content-Type": "application/fhir+json"},
                timeout=10,
            )
            if answer.status_code in (200, 201):
                return
            assert answer.status_code in (409, 500, 503), answer.text
        except requests.RequestException:
            pass
        time.sleep(0.05)
    raise AssertionError("a write was never acknowledged")


def kill(server: Running, every: float, stopping: threading.Event, kills: list[int]) -> None:
    """SIGKILL to one of the server's processes, at random, but never to the one that starts them again; and not before
    what was killed last is there again."""
    chance = random.Random(1)
    while not stopping.wait(every):
        if not server.ready():
            continue
        assert server.process is not None
        if children := descendants(server.process.pid):
            try:
                os.kill(chance.choice(children), signal.SIGKILL)
                kills[0] += 1
            except ProcessLookupError:
                continue


def descendants(pid: int) -> list[int]:
    """The processes below one."""
    parents: dict[int, list[int]] = defaultdict(list)
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parents[int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])].append(int(entry.name))
            except OSError:
                continue
    found: list[int] = []
    pending = [pid]
    while pending:
        children = parents[pending.pop()]
        found += children
        pending += children
    return found


def status(base: str, headers: dict[str, str], id: str) -> str:
    return str(requests.get(f"{base}/Subscription/{id}", headers=headers, timeout=10).json()["status"])


def version(base: str, headers: dict[str, str], id: str) -> int:
    answer = requests.get(f"{base}/EpisodeOfCare/{id}", headers=headers, timeout=10)
    return int(answer.json()["meta"]["versionId"])


def until(holds: Any) -> None:
    end = time.monotonic() + PATIENCE_SECONDS
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.05)


def told(received: list[Received]) -> list[tuple[int, str, int]]:
    """(number, focus, version) of each event, in the order in which they came."""
    found = []
    for one in received:
        events, entries = one.status["events"], one.json["entry"][1:]
        for event, entry in zip(events, entries, strict=True):
            shown = entry["resource"]
            found.append((int(event["event-number"]), shown["id"], int(shown["meta"]["versionId"])))
    return found


def distinct(received: list[Received]) -> int:
    return len({number for number, _, _ in told(list(received))})


def judged(received: list[Received], written: int, kills: int) -> Found:
    events = told(received)
    numbers = {number for number, _, _ in events}
    seen: dict[str, int] = {}
    first: set[int] = set()
    unordered = 0
    for number, focus, shown in events:
        if number not in first:
            first.add(number)
            unordered += shown < seen.get(focus, 0)
            seen[focus] = max(seen.get(focus, 0), shown)
    lost = tuple(number for number in range(1, written + 1) if number not in numbers)
    return Found(written, len(numbers), len(events) - len(numbers), kills, lost, unordered)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dburl", help="an empty database; a temporary SQLite if not given")
    parser.add_argument("--events", type=int, default=10_000)
    parser.add_argument("--every", type=float, default=3.0, help="seconds between kills")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        began = time.monotonic()
        found = run(given.dburl or f"sqlite:///{folder}/registry.db", Path(folder), given.events, given.every)
    print(f"{found} in {time.monotonic() - began:.0f} s")
    raise SystemExit(1 if found.lost or found.unordered else 0)


if __name__ == "__main__":
    main()
