"""What comes in bulk cannot be told from what came one by one: content, index, feed, outbox, policy rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest
from flask import Flask

from app import create_app
from app.access.subject import Subject
from app.config import Settings
from app.interactions import Asked, Services, update
from app.interactions.carrying import carry
from app.interactions.loading import Report, load
from app.storage.engine import Store
from tests.support.region import consent, endpoint, episode, organization, patient, study

STEWARD = Subject("steward", "steward", "ods:ZZZ", scopes=("system/*.cruds",))
ASKED = Asked(STEWARD)

# Every column that says what was stored; rids, instants, transaction numbers and random ids are a matter of chance.
ROWS = {
    "identity": "SELECT type, id FROM identity",
    "resource": "SELECT type, id, version, deleted, op, hash, owner, status, low, high, facts, content FROM resource",
    "history": "SELECT type, id, version, content FROM history",
    "change": "SELECT r.type, r.id, c.version, c.op FROM change c JOIN resource r ON r.rid = c.rid",
    "outbox": "SELECT o.topic, o.body, r.id, o.version FROM outbox o JOIN resource r ON r.rid = o.rid",
    "person": "SELECT p.id, g.id, p.flags FROM person p JOIN person g ON g.patient = p.grp",
    "organisation": "SELECT id, key, parent, kinds, successor FROM organisation",
    "directive": "SELECT p.id, d.id, d.version, d.body FROM directive d JOIN person p ON p.patient = d.patient",
    "relationship": "SELECT p.id, l.source, l.version, l.kind, l.status, l.org, l.members, l.low, l.high"
    " FROM relationship l JOIN person p ON p.patient = l.patient",
} | {
    name: f"SELECT r.type, r.id, p.id, {columns} FROM {name} x JOIN resource r ON r.rid = x.rid"
    " LEFT JOIN person p ON p.patient = x.patient"
    for name, columns in {
        "token": "x.param, x.code, x.system, x.word",
        "identifier": "x.param, x.value, x.system, x.kind",
        "reference": "x.param, x.target_type, x.target",
        "date": "x.param, x.low, x.high",
        "string": "x.param, x.norm, x.exact",
        "number": "x.param, x.low",
        "uid": "x.value",
    }.items()
}


def person(id: str) -> dict[str, Any]:
    return patient(id) | {"identifier": [{"system": "urn:x", "value": id}]}


def some_region() -> list[dict[str, Any]]:
    """Every kind of thing that is derived, in an order in which nothing comes before what it refers to."""
    found = [organization("RXA"), organization("RXB"), organization("RXB01", "RXB"), endpoint()]
    for n in range(60):
        found.append(person(f"p{n}"))
        found.append(study(f"s{n}", f"1.2.3.{n}", subject=f"p{n}"))
        found.append(episode(f"e{n}", subject=f"p{n}"))
    found.append(person("merged") | {"link": [{"other": {"reference": "Patient/p1"}, "type": "replaces"}]})
    found.append(consent("c1", subject="p3"))
    return found


@pytest.fixture(params=["sqlite", "postgresql"])
def two_apps(
    request: pytest.FixtureRequest, fresh_database: Callable[[str], str], tmp_path: Path
) -> Iterator[tuple[Services, Services]]:
    made: list[Flask] = [
        create_app(
            Settings(database_url=fresh_database(request.param), keys_dir=str(tmp_path / "keys"), log_level="error")
        )
        for _ in range(2)
    ]
    yield made[0].extensions["services"], made[1].extensions["services"]
    for one in made:
        one.extensions["services"].store.close()


def contents(store: Store) -> dict[str, list[tuple[Any, ...]]]:
    """All rows of every table that is told above, without the instant in the stored content."""
    found = {}
    with store.begin(reads=True) as tx:
        for table, query in ROWS.items():
            rows = [tuple(_timeless(value) for value in row) for row in tx.rows(query)]
            found[table] = sorted(rows, key=repr)
    return found


def _timeless(value: Any) -> Any:
    if isinstance(value, bytes | memoryview) and bytes(value).startswith(b'{"'):
        resource = orjson.loads(bytes(value))
        resource["meta"].pop("lastUpdated")
        return orjson.dumps(resource)
    return bytes(value) if isinstance(value, memoryview) else bool(value) if isinstance(value, bool) else value


def put(services: Services, resource: dict[str, Any]) -> None:
    name, id = resource["resourceType"], resource["id"]
    carry(services, ASKED, "update", name, lambda tx: update.apply(services, tx, ASKED, name, id, resource))


def test_a_bulk_load_leaves_the_same_rows_as_single_creates(two_apps: tuple[Services, Services]) -> None:
    alone, bulk = two_apps
    region = some_region()
    for resource in region:
        put(alone, resource)
    report = load(bulk, ASKED, [orjson.dumps(resource) for resource in region], batch=150)
    assert (report.created, report.updated, report.unchanged, report.refused) == (len(region), 0, 0, [])
    one_by_one, together = contents(alone.store), contents(bulk.store)
    for table in ROWS:
        assert together[table] == one_by_one[table], table
    assert all(one_by_one[table] for table in ("person", "relationship", "directive", "token", "uid", "outbox"))


def test_a_load_updates_what_differs_and_leaves_what_does_not(two_apps: tuple[Services, Services]) -> None:
    services, _ = two_apps
    region = [organization("RXA"), endpoint(), patient("p1"), study("s1", subject="p1")]
    load(services, ASKED, region)
    before = contents(services.store)
    again = load(services, ASKED, region)
    assert (again.created, again.updated, again.unchanged) == (0, 0, 4)
    assert contents(services.store) == before
    changed = load(services, ASKED, [patient("p1") | {"gender": "other"}, study("s2", "1.2.9", subject="p1")])
    assert (changed.created, changed.updated, changed.unchanged) == (1, 1, 0)


def test_what_is_wrong_is_refused_by_its_number_and_stops_nothing_else(two_apps: tuple[Services, Services]) -> None:
    services, _ = two_apps
    given: list[dict[str, Any] | bytes] = [
        b"{not json",
        {"resourceType": "Basic", "id": "b1"},
        organization("RXA"),
        study("s1", subject="nobody"),
        patient("p1") | {"gender": "unheard-of"},
        endpoint(),
        patient("p2", "9990000026"),
    ]
    told: list[int] = []
    report = load(services, ASKED, given, told=lambda so_far: told.append(so_far.done), batch=4)
    assert (report.done, report.created) == (7, 3)
    assert told == [4, 7]
    assert [number for number, _ in report.refused] == [0, 1, 3, 4]
    assert [issues[0].code for _, issues in report.refused] == ["structure", "invalid", "not-found", "code-invalid"]


def test_who_may_not_write_a_type_loads_none_of_it(two_apps: tuple[Services, Services]) -> None:
    services, _ = two_apps
    archive = Asked(replace(STEWARD, kind="archive", organisation="ods:RXA"))
    report = load(services, archive, [organization("RXA"), patient("p1")])
    assert (report.created, [number for number, _ in report.refused]) == (0, [0, 1])


def test_every_loaded_patient_has_a_record_of_it(two_apps: tuple[Services, Services]) -> None:
    services, _ = two_apps
    report: Report = load(services, ASKED, [organization("RXA"), endpoint(), patient("p1"), study("s1", subject="p1")])
    assert report.created == 4
    with services.store.begin(reads=True) as tx:
        rows = tx.rows("SELECT patient, subtype, entity FROM audit WHERE patient IS NOT NULL ORDER BY entity")
    assert rows == [("Patient/p1", "create", " ImagingStudy/s1 "), ("Patient/p1", "create", " Patient/p1 ")]
