"""The history with `_since` is a feed that misses nothing: whoever follows `next` sees each version exactly once.

Writers are processes of their own, their transactions overlap and end in another order than they began. The suite runs
a bounded form; eight writers of 300 transactions each, on both databases:

    FEED_TRANSACTIONS=300 .venv/bin/pytest -n 0 tests/storage/test_feed.py
"""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import time
from collections import Counter
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from app import create_app
from app.config import Settings
from app.fhir.registry import TYPES
from app.policy.grant import Everything, Grant
from app.storage import resources
from app.storage.engine import Store, Tx
from app.storage.resources import Stored
from tests.support.region import Caller, caller

WRITERS = 8
TRANSACTIONS = int(os.environ.get("FEED_TRANSACTIONS", "10"))
LONGEST = 0.1  # seconds that a transaction stays open

Version = tuple[str, int, str]


def write(url: str, number: int, said: str) -> None:
    """One writer: transactions of random length that create, update and delete, some of which are taken back. What was
    committed stands in the file `said` afterwards."""
    shuffled = random.Random(number)
    store = Store(url)
    grant = Grant("d", 0, {name: (Everything(),) for name in TYPES})
    mine: dict[str, Stored] = {}
    committed: list[Version] = []

    def step(tx: Tx, place: int, part: int) -> tuple[Stored, str]:
        there = sorted(id for id, one in mine.items() if not one.deleted)
        way = shuffled.choice(["create", "create", "update", "delete"]) if there else "create"
        if way == "create":
            id = f"w{number}-{place}-{part}"
            return resources.create(tx, grant, {"resourceType": "Patient", "active": True}, id), "POST"
        one = mine[shuffled.choice(there)]
        if way == "update":
            changed = {"resourceType": "Patient", "multipleBirthInteger": one.version}
            return resources.update(tx, grant, one, changed), "PUT"
        return resources.delete(tx, grant, one), "DELETE"

    class TakenBack(Exception):
        pass

    for place in range(TRANSACTIONS):
        seed = shuffled.random()

        def work(tx: Tx, place: int = place, seed: float = seed) -> list[tuple[Stored, str]]:
            shuffled.seed(f"{number} {seed}")  # a transaction that the database has run again is the same again
            before = dict(mine)
            done = []
            try:
                for part in range(shuffled.randint(1, 4)):
                    one, way = step(tx, place, part)
                    done.append((one, way))
                    mine[one.id] = one
                    tx.flush()
                    time.sleep(shuffled.uniform(0, LONGEST / 4))
                if shuffled.random() < 0.1:
                    raise TakenBack
            finally:
                mine.clear()
                mine.update(before)
            return done

        try:
            done = store.retry(work)
        except TakenBack:
            continue
        for one, way in done:
            mine[one.id] = one
            committed.append((one.id, one.version, way))
    store.close()
    Path(said).write_text(json.dumps(committed))


class Reader:
    """Follows `next` over HTTP, from a server that is started anew now and then."""

    def __init__(self, url: str, folder: Path) -> None:
        self.settings = Settings(database_url=url, keys_dir=str(folder / "keys"), log_level="error")
        self.seen: list[Version] = []
        self.next = "/_history?_since=2020-01-01&_count=100"
        self.steward: Caller
        self.start()

    def start(self) -> None:
        self.app = create_app(self.settings)
        self.steward = caller(self.app, "steward", "ZZZ", purpose=None)

    def stop(self) -> None:
        self.app.extensions["services"].store.close()

    def read(self) -> int:
        """One page; how many versions it had."""
        page = self.steward.get(self.next)
        assert page.status_code == 200, page.text
        entries = page.json.get("entry", [])
        for entry in entries:
            _, id = entry["fullUrl"].rsplit("/", 1)
            method = entry["request"]["method"]
            etag = int(entry["response"]["etag"].removeprefix('W/"').rstrip('"'))
            assert ("resource" in entry) == (method != "DELETE")
            self.seen.append((id, etag, method))
        (link,) = [one["url"] for one in page.json["link"] if one["relation"] == "next"]
        parts = urlsplit(link)
        assert len(parts.query) < 700
        self.next = f"/_history?{parts.query}"
        return len(entries)


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_a_reader_who_follows_next_sees_every_version_once_though_writers_overlap_and_the_server_restarts(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    url = request.getfixturevalue("fresh_database")(kind)
    start = multiprocessing.get_context("forkserver")
    start.set_forkserver_preload([__name__])
    told = [tmp_path / f"writer-{number}" for number in range(WRITERS)]
    writers = [
        start.Process(target=write, args=(url, number, str(said)), daemon=True) for number, said in enumerate(told)
    ]
    reader = Reader(url, tmp_path)
    for writer in writers:
        writer.start()
    pages = 0
    while any(writer.is_alive() for writer in writers):
        reader.read()
        pages += 1
        if pages % 25 == 0:
            reader.stop()
            reader.start()
    assert [writer.exitcode for writer in writers] == [0] * WRITERS
    while reader.read():
        pass
    reader.stop()
    written = [tuple(one) for said in told for one in json.loads(said.read_text())]
    assert {method for _, _, method in written} == {"POST", "PUT", "DELETE"}
    assert Counter(reader.seen) == Counter(written)
    for id in {id for id, _, _ in written}:
        versions = [version for one, version, _ in reader.seen if one == id]
        assert versions == sorted(versions), id
