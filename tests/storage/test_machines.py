"""PostgreSQL on many machines: a standby that is read and takes over, a pooler in front, backups that are restored."""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from app import create_app
from app.config import Settings
from app.notifications.worker import Worker
from tests.conftest import migrate
from tests.notifications.conftest import subscribed
from tests.support.machines import Pooler, Server, dump, either, restored, until
from tests.support.parts import needed, requires
from tests.support.receiver import Receiver
from tests.support.region import Caller, caller, episode, organization, patient, settle, study

pytestmark = requires("postgresql")


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """A folder that the servers' own account reaches, which those of pytest it does not."""
    made = Path(tempfile.mkdtemp(prefix="registry-machines-"))
    yield made
    shutil.rmtree(made, ignore_errors=True)


@pytest.fixture(scope="module")
def primary(folder: Path) -> Iterator[Server]:
    needed("postgresql")
    made = Server(folder).create()
    yield made
    made.stop()


def application(url: str, keys: Path, replica: str = "") -> Flask:
    return create_app(Settings(database_url=url, replica_url=replica, keys_dir=str(keys), log_level="error"))


def names(who: Caller) -> list[str]:
    found = who.get("/Organization?_sort=_id").json["entry"]
    return [entry["resource"]["name"] for entry in found if entry["search"]["mode"] == "match"]


def renamed(server: Server, database: str, type: int, old: str, new: str) -> None:
    """Change what is stored behind the registry's back, so that it shows which server answers."""
    change = f"convert_to(replace(convert_from(content, 'UTF8'), '{old}', '{new}'), 'UTF8')"
    server.ask(f"UPDATE resource SET content = {change} WHERE type = {type}", database)


def test_searches_of_the_directory_are_the_replica_s_while_it_has_all_of_it(
    primary: Server, folder: Path, tmp_path: Path
) -> None:
    standby = Server(folder, "reader").follow(primary, "reader")
    try:
        name = primary.database(migrate)
        app = application(primary.base + name, tmp_path, standby.base + name)
        steward = settle(app)
        standby.caught_up(primary)
        standby.ask("SELECT pg_wal_replay_pause()")
        renamed(primary, name, 2, "Trust", "Trust of the primary")
        renamed(primary, name, 1, "Willow", "Hazel")
        assert not [one for one in names(steward) if "primary" in one], "the replica answers"
        assert steward.get("/Patient/p1").json["name"][0]["given"] == ["Hazel"], "a person is the primary's"
        assert steward.get("/Patient").json["entry"][0]["resource"]["name"][0]["given"] == ["Hazel"]
        assert steward.put("/Organization/new", organization("RXN") | {"id": "new", "name": "New"}).status_code == 201
        assert "New" in names(steward), "who has written finds it, though the replica is late"
        standby.ask("SELECT pg_wal_replay_resume()")
        standby.caught_up(primary)
        standby.stop()
        renamed(primary, name, 2, "New", "Newer")
        assert "Newer" in names(steward), "the replica is away"
        app.extensions["services"].store.close()
    finally:
        standby.stop()
        primary.ask("SELECT pg_drop_replication_slot('reader')")


def test_the_standby_takes_over_and_nothing_acknowledged_is_lost(folder: Path, tmp_path: Path) -> None:
    first = Server(folder, "first").create()
    second = Server(folder, "second")
    try:
        name = first.database(migrate)
        second.follow(first)
        first.ask("ALTER SYSTEM SET synchronous_standby_names = '*'")
        first.ask("SELECT pg_reload_conf()")
        until(
            lambda: first.ask("SELECT sync_state FROM pg_stat_replication") == "sync", "the standby is not waited for"
        )
        app = application(either(first, second, name), tmp_path)
        steward = settle(app)
        acknowledged: list[str] = []
        statuses: set[int] = set()
        stopping = threading.Event()

        def write() -> None:
            number = 0
            while not stopping.is_set():
                number += 1
                answer = steward.put(f"/Organization/o{number}", organization(f"RX{number}") | {"id": f"o{number}"})
                statuses.add(answer.status_code)
                if answer.status_code == 201:
                    acknowledged.append(f"o{number}")

        writer = threading.Thread(target=write)
        writer.start()
        until(lambda: len(acknowledged) >= 20, "nothing is written")
        first.stop()
        second.promote()
        before = len(acknowledged)
        until(lambda: len(acknowledged) >= before + 20, "the service does not recover")
        stopping.set()
        writer.join()
        assert statuses <= {201, 503}
        kept = set(_every(steward))
        assert [id for id in acknowledged if id not in kept] == []
        command = app.test_cli_runner()
        for told in (["db", "check"], ["audit", "verify"]):
            done = command.invoke(args=[*told, "--json"])
            assert done.exit_code == 0, done.output
        app.extensions["services"].store.close()
    finally:
        first.stop()
        second.stop()


def _every(who: Caller) -> Iterator[str]:
    path = "/Organization?_count=500&_elements=id"
    while path:
        page: dict[str, Any] = who.get(path).json
        yield from (entry["resource"]["id"] for entry in page["entry"])
        following = [link["url"] for link in page["link"] if link["relation"] == "next"]
        path = following[0].partition("/fhir")[2] if following else ""


@requires("pgbouncer")
def test_everything_works_behind_a_pooler_that_lends_a_server_for_a_transaction(
    primary: Server, folder: Path, tmp_path: Path
) -> None:
    name = primary.database(migrate)
    pooler = Pooler(folder, primary)
    try:
        app = application(pooler.url(name), tmp_path)
        settle(app)
        services = app.extensions["services"]
        with services.store.begin() as tx:
            assert tx._link._wire.lent
        failed: list[str] = []

        def busy(number: int) -> None:
            who = caller(app, "steward", "ZZZ", role=f"r{number}", purpose=None)
            for turn in range(12):
                id = f"p{number}x{turn}"
                answers = [
                    who.put(f"/Patient/{id}", patient(id, "") | {"identifier": [{"system": "urn:x", "value": id}]}),
                    who.put(f"/ImagingStudy/{id}", study(id, f"1.2.{number}.{turn}", subject=id)),
                    who.get(f"/ImagingStudy?patient={id}&_include=ImagingStudy:endpoint"),
                ]
                failed.extend(one.text for one in answers if one.status_code >= 300)

        threads = [threading.Thread(target=busy, args=(number,)) for number in range(8)]
        for one in threads:
            one.start()
        for one in threads:
            one.join()
        assert failed == []
        assert primary.ask("SELECT count(*) FROM resource WHERE type = 9", name) == 8 * 12 + 1
        app.extensions["services"].store.close()
    finally:
        pooler.close()


@pytest.mark.parametrize("how", ["pg_dump", "base backup", "sqlite"])
def test_a_backup_is_restored_whole_and_audit_feed_and_subscriptions_go_on(
    how: str, primary: Server, folder: Path, tmp_path: Path
) -> None:
    keys, name, other = tmp_path / "keys", "", Server(folder, f"restored-{how[:2]}")
    url = f"sqlite:///{tmp_path}/registry.db"
    if how == "sqlite":
        migrate(url)
    else:
        for _ in range(50):  # a cluster that has seen more than the one it is restored to
            primary.ask("SELECT pg_current_xact_id()")
        name = primary.database(migrate)
        url = primary.base + name
    app = application(url, keys)
    steward = settle(app)
    receiver = Receiver()
    try:
        made = caller(app).post("/Subscription", subscribed("episode-changed", receiver.url))
        assert made.status_code == 201, made.text
        with working(app):
            until(lambda: steward.get(f"/Subscription/{made.json['id']}").json["status"] == "active", "no handshake")
        assert steward.put("/EpisodeOfCare/e2", episode("e2")).status_code == 201  # nobody has been told of it yet
        assert app.test_cli_runner().invoke(args=["audit", "link"]).exit_code == 0
        if how == "pg_dump":
            dump(primary, name, tmp_path / "dump")
            after = restored(other.create(), tmp_path / "dump")
        elif how == "base backup":
            after = other.restore(primary).base + name
        else:
            with sqlite3.connect(tmp_path / "registry.db") as live, sqlite3.connect(tmp_path / "copy.db") as copy:
                live.backup(copy)
            after = f"sqlite:///{tmp_path}/copy.db"
        again = application(after, keys)
        command = again.test_cli_runner()
        for told in (["db", "upgrade"], ["db", "check"], ["audit", "verify"]):
            done = command.invoke(args=[*told, "--json"])
            assert done.exit_code == 0, done.output
        who = Caller(again.test_client(), steward.token)
        assert who.get("/ImagingStudy/s1").json == steward.get("/ImagingStudy/s1").json
        assert who.put("/EpisodeOfCare/e3", episode("e3")).status_code == 201
        with working(again):
            until(
                lambda: _events(receiver) == ["EpisodeOfCare/e2", "EpisodeOfCare/e3"], "the subscription does not go on"
            )
        assert len(_history(who)) == len(_history(steward)) + 1, "the feed goes on"
        assert _history(who)[-1] == "EpisodeOfCare/e3"
        for told in (["audit", "link"], ["audit", "verify"], ["db", "check"]):
            done = command.invoke(args=[*told, "--json"])
            assert done.exit_code == 0, done.output
        again.extensions["services"].store.close()
        app.extensions["services"].store.close()
    finally:
        receiver.close()
        other.stop()


@contextmanager
def working(app: Flask) -> Iterator[None]:
    """A worker, as a process of its own would run it."""
    worker = Worker(app.extensions["services"], threads=1, wait=lambda attempts: 0.05)
    thread = threading.Thread(target=worker.run)
    thread.start()
    try:
        yield
    finally:
        worker.stopping.set()
        thread.join(30)
    assert not thread.is_alive()


def _history(who: Caller) -> list[str]:
    """The feed of all changes from the beginning, the oldest first."""
    found = who.get("/_history?_since=2020-01-01T00:00:00Z&_count=500").json["entry"]
    return ["/".join(entry["fullUrl"].rsplit("/", 2)[1:]) for entry in found]


def _events(receiver: Receiver) -> list[str]:
    """What a subscriber was told of, each once and in order."""
    told = (event["focus"]["reference"] for one in list(receiver.received) for event in one.status["events"])
    return list(dict.fromkeys("/".join(one.rsplit("/", 2)[1:]) for one in told))
