"""What every database claimed must do: the storage contract, run on SQLite and on PostgreSQL."""

from __future__ import annotations

import threading
import time
from typing import Any

import orjson
import pytest

from app.fhir.query import Query
from app.fhir.registry import TYPES
from app.fhir.search import parse
from app.policy.grant import Everything, Grant, OwnedBy
from app.storage import history, resources, search
from app.storage.engine import Contention, Store, Tx
from app.storage.resources import Stored

AT = 1_773_136_800_000_000


def everything(at: int = AT) -> Grant:
    return Grant("d", at, {name: (Everything(),) for name in TYPES}, writer="ods:RXA")


def patient(nhs_number: str, **more: Any) -> dict[str, Any]:
    identifier = [{"system": "https://fhir.nhs.uk/Id/nhs-number", "value": nhs_number}]
    return {"resourceType": "Patient", "identifier": identifier, **more}


def create(store: Store, resource: dict[str, Any], id: str | None = None) -> Stored:
    with store.begin() as tx:
        return resources.create(tx, everything(), resource, id)


def find(tx: Tx, type_name: str, query: str, grant: Grant | None = None) -> list[str]:
    return [entry.id for entry in page(tx, type_name, query, grant).entries]


def page(tx: Tx, type_name: str, query: str, grant: Grant | None = None, cursor: str | None = None) -> search.Page:
    pairs = [tuple(part.split("=", 1)) for part in query.split("&") if part]
    parsed: Query = parse(type_name, pairs, at=AT)  # type: ignore[arg-type]
    if cursor:
        from dataclasses import replace

        parsed = replace(parsed, cursor=cursor)
    return search.run(tx, grant or everything(), parsed)


def test_what_was_written_comes_back_with_only_id_and_meta_added(store: Store) -> None:
    made = create(store, {"resourceType": "Patient", "active": True, "birthDate": "1970-01-01"})
    with store.begin() as tx:
        found = resources.get(tx, everything(), "Patient", made.id)
    assert found is not None
    body = orjson.loads(found.content)
    assert body.pop("id") == made.id
    assert body.pop("meta")["versionId"] == "1"
    assert list(body) == ["resourceType", "active", "birthDate"]


def test_ids_that_differ_in_case_alone_are_two_resources(store: Store) -> None:
    create(store, patient("9990000018"), "abc")
    create(store, patient("9990000026"), "ABC")
    with store.begin() as tx:
        assert resources.get(tx, everything(), "Patient", "abc") != resources.get(tx, everything(), "Patient", "ABC")
        assert resources.get(tx, everything(), "Patient", "Abc") is None


def test_identifiers_are_case_sensitive(store: Store) -> None:
    made = create(store, {"resourceType": "Patient", "identifier": [{"system": "urn:x", "value": "aB"}]})
    with store.begin() as tx:
        assert find(tx, "Patient", "identifier=urn:x|aB") == [made.id]
        assert find(tx, "Patient", "identifier=urn:x|ab") == []
        assert find(tx, "Patient", "identifier=urn:X|aB") == []


def test_an_update_keeps_the_former_version_and_an_unchanged_one_makes_none(store: Store) -> None:
    first = create(store, {"resourceType": "Patient", "active": True})
    with store.begin() as tx:
        same = resources.update(tx, everything(), first, {"resourceType": "Patient", "active": True})
        assert same.version == 1
        second = resources.update(tx, everything(), first, {"resourceType": "Patient", "active": False})
        assert second.version == 2
    with store.begin() as tx:
        former = resources.get_version(tx, everything(), "Patient", first.id, 1)
        assert former is not None and former.content == first.content
        assert resources.get_version(tx, everything(), "Patient", first.id, 3) is None


def test_a_deleted_resource_is_known_as_deleted_and_no_longer_found(store: Store) -> None:
    made = create(store, patient("9990000018"))
    with store.begin() as tx:
        resources.delete(tx, everything(), made)
    with store.begin() as tx:
        gone = resources.get(tx, everything(), "Patient", made.id)
        assert gone is not None and gone.deleted and gone.version == 2
        assert find(tx, "Patient", "identifier=9990000018") == []
        past = history.history(tx, everything(), type="Patient", id=made.id)
        assert past is not None
        assert [(version.version, method) for version, method in past.entries] == [(2, "DELETE"), (1, "POST")]


def test_a_transaction_that_fails_leaves_nothing(store: Store) -> None:
    class Failed(Exception):
        pass

    def work() -> None:
        with store.begin() as tx:
            resources.create(tx, everything(), patient("9990000018"), "p1")
            tx.flush()
            raise Failed

    with pytest.raises(Failed):
        work()
    with store.begin() as tx:
        for table in ("identity", "resource", "change", "outbox", "identifier", "person", "audit"):
            assert tx.rows(f"SELECT count(*) FROM {table}") == [(0,)], table


def test_a_write_on_a_version_that_has_gone_is_contention(store: Store) -> None:
    first = create(store, {"resourceType": "Patient", "active": True})
    with store.begin() as tx:
        resources.update(tx, everything(), first, {"resourceType": "Patient", "active": False})
    with pytest.raises(Contention), store.begin() as tx:
        resources.update(tx, everything(), first, {"resourceType": "Patient", "gender": "other"})


def test_only_rows_of_the_grant_are_read_searched_counted_and_listed(store: Store) -> None:
    own = create(store, {"resourceType": "Endpoint", "status": "active", "name": "mine"})
    with store.begin() as tx:
        other_grant = Grant("d", AT, {name: (Everything(),) for name in TYPES}, writer="ods:RXB")
        other = resources.create(tx, other_grant, {"resourceType": "Endpoint", "status": "active", "name": "theirs"})
    mine = Grant("d", AT, {"Endpoint": (OwnedBy(("ods:RXA",)),)})
    with store.begin() as tx:
        assert resources.get(tx, mine, "Endpoint", own.id) is not None
        assert resources.get(tx, mine, "Endpoint", other.id) is None
        assert find(tx, "Endpoint", "status=active", mine) == [own.id]
        assert page(tx, "Endpoint", "_total=accurate", mine).total == 1
        listed = history.history(tx, mine, type="Endpoint")
        assert listed is not None and [version.id for version, _ in listed.entries] == [own.id]
        assert resources.get(tx, Grant("d", AT, {}), "Endpoint", own.id) is None


def test_pages_follow_each_other_without_a_gap_or_a_repeat(store: Store) -> None:
    made = [create(store, patient(f"{n:010d}"), f"p{n}").id for n in range(23)]
    seen: list[str] = []
    cursor = None
    with store.begin() as tx:
        while True:
            found = page(tx, "Patient", "_count=5", cursor=cursor)
            seen += [entry.id for entry in found.entries]
            cursor = found.next
            if cursor is None:
                break
    assert seen == made[::-1]


def test_two_writers_of_one_match_key_take_turns(store: Store) -> None:
    made: list[str] = []

    def work() -> None:
        def once(tx: Tx) -> str:
            resources.lock_match_keys(tx, [b"one key"])
            if found := find(tx, "Patient", "identifier=urn:x|1"):
                return found[0]
            resource = {"resourceType": "Patient", "identifier": [{"system": "urn:x", "value": "1"}]}
            return resources.create(tx, everything(), resource).id

        made.append(store.retry(once))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 8 and len(set(made)) == 1


def test_records_joined_by_replaced_by_are_one_group_until_they_are_parted(store: Store) -> None:
    kept = create(store, patient("9990000018"), "kept")
    link = [{"other": {"reference": "Patient/kept"}, "type": "replaced-by"}]
    old = create(store, patient("9990000026", link=link), "old")
    with store.begin() as tx:
        groups = dict(tx.rows("SELECT patient, grp FROM person"))
        assert groups[kept.rid] == groups[old.rid]
        resources.update(tx, everything(), old, patient("9990000026"))
    with store.begin() as tx:
        groups = dict(tx.rows("SELECT patient, grp FROM person"))
        assert groups[kept.rid] != groups[old.rid]


def test_links_in_a_circle_or_to_nobody_are_marked_as_indeterminate(store: Store) -> None:
    create(store, patient("9990000018", link=[{"other": {"reference": "Patient/b"}, "type": "replaced-by"}]), "a")
    with store.begin() as tx:
        assert tx.rows("SELECT flags FROM person WHERE id = 'a'") == [(1,)]
    create(store, patient("9990000026", link=[{"other": {"reference": "Patient/a"}, "type": "replaced-by"}]), "b")
    with store.begin() as tx:
        assert tx.rows("SELECT DISTINCT flags FROM person") == [(1,)]
        first = resources.get(tx, everything(), "Patient", "a")
        assert first is not None
        resources.update(tx, everything(), first, patient("9990000018"))
    with store.begin() as tx:
        assert tx.rows("SELECT DISTINCT flags FROM person") == [(0,)]


def test_a_study_that_came_before_its_patient_finds_it_later(store: Store) -> None:
    study = {"resourceType": "ImagingStudy", "status": "available", "subject": {"reference": "Patient/late"}}
    made = create(store, study)
    assert made.patient == 0
    late = create(store, patient("9990000018"), "late")
    with store.begin() as tx:
        found = resources.get(tx, everything(), "ImagingStudy", made.id)
        assert found is not None and found.patient == late.rid
        assert find(tx, "ImagingStudy", "patient=Patient/late") == [made.id]


def test_a_feed_reader_sees_every_version_once_though_transactions_overlap(store: Store) -> None:
    seen: list[tuple[str, int]] = []
    cursor: str | None = None

    def read() -> None:
        nonlocal cursor
        with store.begin() as tx:
            found = history.history(tx, everything(), since=0, cursor=cursor, count=7)
            assert found is not None
            seen.extend((version.id, version.version) for version, _ in found.entries)
            cursor = found.next

    def write(worker: int) -> None:
        for n in range(10):
            store.retry(
                lambda tx, n=n: [
                    resources.create(tx, everything(), patient(f"{worker}{n:09d}"), f"w{worker}-{n}-{i}")
                    for i in range(n % 3 + 1)
                ]
            )

    writers = [threading.Thread(target=write, args=(worker,)) for worker in range(4)]
    for writer in writers:
        writer.start()
    while any(writer.is_alive() for writer in writers):
        read()
    expected = 4 * sum(n % 3 + 1 for n in range(10))
    until = time.monotonic() + 30
    while len(seen) < expected and time.monotonic() < until:
        read()
    read()
    assert len(seen) == len(set(seen)) == 4 * sum(n % 3 + 1 for n in range(10))


@pytest.mark.parametrize("kind", ["replaced-by", "replaces"])
def test_two_records_are_one_person_whichever_of_them_says_so_and_two_again_when_it_is_taken_back(
    store: Store, kind: str
) -> None:
    for id in ("p1", "p2"):
        create(store, patient("9990000018"), id)
    linked = patient("9990000018", link=[{"type": kind, "other": {"reference": "Patient/p2"}}])

    def groups(resource: dict[str, Any]) -> int:
        with store.begin() as tx:
            current = resources.get(tx, everything(), "Patient", "p1")
            assert current is not None
            resources.update(tx, everything(), current, resource)
        with store.begin(reads=True) as tx:
            return len(tx.rows("SELECT DISTINCT grp FROM person"))

    assert groups(linked) == 1
    assert groups(patient("9990000018")) == 2


def test_more_kinds_of_statements_than_are_kept_prepared_change_nothing(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.storage.wire.MOST_PREPARED", 3)
    for number in range(6):
        names = [{"family": "Demo", "given": [f"n{part}" for part in range(number)]}]
        create(store, patient(f"{number:010d}", name=names, gender="other", active=True), f"p{number}")
    with store.begin() as tx:
        assert find(tx, "Patient", "gender=other&_sort=_id") == [f"p{number}" for number in range(6)]
