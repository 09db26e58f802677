"""kill -9 of web server and worker, again and again, during writes: alone and in transactions of three."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import requests

from app import create_app
from app.config import Settings
from tests.faults.common import Found, kept, person
from tests.notifications.faults import LEAST_KILLS, kill, until
from tests.support.region import caller, settle
from tests.support.server import Running

EVERY_SECONDS = 0.7
PAUSE_SECONDS = 0.05  # while nobody listens
WRITERS = 4


def run(dburl: str, folder: Path, size: int) -> Found:
    """`size` writes must be acknowledged; a database that is migrated and empty."""
    found = Found()
    server = Running(folder, REGISTRY_DATABASE_URL=dburl, REGISTRY_DEMO_DATA="0", REGISTRY_LOG_LEVEL="error")
    base = f"{server.address}/fhir"
    app = create_app(Settings(database_url=dburl, keys_dir=f"{folder}/keys", log_level="error", base_url=base))
    settle(app)
    headers = {"Authorization": f"Bearer {caller(app).token}", "Content-Type": "application/fhir+json"}
    steward = {**headers, "Authorization": f"Bearer {_steward(app)}"}
    ids: list[str] = []
    whole: list[str] = []
    answers = {"refused or cut off": 0}
    stopping, kills = threading.Event(), [0]
    each = -(-size // WRITERS)

    def send(method: str, path: str, body: Any) -> bool:
        try:
            answer = requests.request(method, f"{base}{path}", json=body, headers=steward, timeout=10)
        except requests.RequestException:
            answers["refused or cut off"] += 1
            time.sleep(PAUSE_SECONDS)
            return False
        return answer.status_code in (200, 201)

    def write(thread: int) -> None:
        number = acknowledged = 0
        while acknowledged < each or kills[0] < LEAST_KILLS:
            number += 1
            id = f"k{thread}x{number}"
            if send("PUT", f"/Patient/{id}", person(id)):
                ids.append(id)
                acknowledged += 1
            three = [f"t{thread}x{number}x{part}" for part in range(3)]
            if send("POST", "", _transaction(three)):
                whole.append(three[0])
                ids.extend(three)
                acknowledged += 3

    killer = threading.Thread(target=kill, args=(server, EVERY_SECONDS, stopping, kills))
    try:
        server.start()
        killer.start()
        threads = [threading.Thread(target=write, args=(number,)) for number in range(WRITERS)]
        for one in threads:
            one.start()
        for one in threads:
            one.join()
        stopping.set()
        killer.join()
        until(server.ready)
    finally:
        stopping.set()
        server.close()
    found.counters |= {"kills": kills[0], "transactions": len(whole)} | answers
    with app.extensions["services"].store.begin(reads=True) as tx:
        there = {id for (id,) in tx.rows("SELECT id FROM identity WHERE type = 1")}
    halves = {id.rsplit("x", 1)[0] for id in there if id.startswith("t")}
    half = [one for one in halves if sum(f"{one}x{part}" in there for part in range(3)) != 3]
    found.counters["half transactions"] = len(half)
    found.must(not half, "no transaction is half there")
    found.must(len(ids) >= size, "as many writes as were wanted were acknowledged")
    found.must(kills[0] >= LEAST_KILLS, "something was killed")
    kept(app, found, ids)
    app.extensions["services"].store.close()
    return found


def _transaction(ids: list[str]) -> dict[str, Any]:
    entries = [{"request": {"method": "PUT", "url": f"Patient/{id}"}, "resource": person(id)} for id in ids]
    return {"resourceType": "Bundle", "type": "transaction", "entry": entries}


def _steward(app: Any) -> str:
    return caller(app, "steward", "ZZZ", purpose=None).token
