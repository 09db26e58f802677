"""What the faults share: an application on a database, writers that count, and what must hold afterwards."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from flask import Flask

from app import create_app
from app.config import Settings
from tests.support.region import Caller, patient, settle


@dataclass
class Found:
    """`counters` are told; `broken` are sentences, empty where all is well."""

    counters: dict[str, Any] = field(default_factory=dict)
    broken: list[str] = field(default_factory=list)

    def must(self, holds: object, sentence: str) -> None:
        if not holds:
            self.broken.append(sentence)


@contextmanager
def region(dburl: str, folder: Path) -> Iterator[tuple[Flask, Caller]]:
    """The application in this process on a migrated, empty database, with a small region; and its steward."""
    app = create_app(Settings(database_url=dburl, keys_dir=f"{folder}/keys", log_level="error"))
    try:
        yield app, settle(app)
    finally:
        app.extensions["services"].store.close()


def person(id: str, **more: Any) -> dict[str, Any]:
    return patient(id) | {"identifier": [{"system": "urn:fault", "value": id}]} | more


class Writers:
    """Threads that create patients, each under an id of its own, until stopped. `acknowledged` are the ids that a 201
    was the answer for; `statuses` counts all answers."""

    def __init__(self, who: Caller, threads: int = 2, mark: str = "w") -> None:
        self.acknowledged: list[str] = []
        self.statuses: Counter[int] = Counter()
        self._who, self._mark = who, mark
        self._stopping = threading.Event()
        self._threads = [threading.Thread(target=self._write, args=(number,)) for number in range(threads)]

    def __enter__(self) -> Writers:
        for one in self._threads:
            one.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        for one in self._threads:
            one.join()

    def _write(self, thread: int) -> None:
        number = 0
        while not self._stopping.is_set():
            number += 1
            id = f"{self._mark}{thread}x{number}"
            status = self._who.put(f"/Patient/{id}", person(id)).status_code
            self.statuses[status] += 1
            if status == 201:
                self.acknowledged.append(id)
            else:
                self._stopping.wait(0.02)


def kept(app: Flask, found: Found, ids: list[str]) -> None:
    """Every acknowledged write is there with its record, and nothing is half there."""
    with app.extensions["services"].store.begin(reads=True) as tx:
        there = {id for (id,) in tx.rows("SELECT id FROM identity WHERE type = 1")}
        entities = tx.rows("SELECT entity FROM audit WHERE outcome = '0' AND action IN ('C', 'U')")
    recorded = {name for (entity,) in entities for name in entity.split()}
    lost = [id for id in ids if id not in there]
    unrecorded = [id for id in ids if f"Patient/{id}" not in recorded]
    found.counters |= {"acknowledged": len(ids), "lost": len(lost), "without a record": len(unrecorded)}
    found.must(not lost, "every acknowledged write is there")
    found.must(not unrecorded, "every acknowledged write has its record")
    sound(app, found)


def sound(app: Flask, found: Found) -> None:
    """The database and the audit are consistent."""
    command = app.test_cli_runner()
    for told in (["audit", "link"], ["db", "check"], ["audit", "verify"]):
        done = command.invoke(args=told)
        found.must(done.exit_code == 0, f"{' '.join(told)}: {done.output.strip()[-300:]}")


Run = Callable[[str, Path, int], Found]
