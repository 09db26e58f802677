"""What policy reads of a resource stays right when something else changes: the row that decides is never left behind."""

from __future__ import annotations

from typing import Any

import orjson

from app.policy.directive import Directive
from app.storage import resources
from app.storage.engine import Store
from app.storage.resources import Stored
from tests.storage.test_contract import create, everything
from tests.support.region import consent, patient


def rules(store: Store) -> Directive:
    with store.begin(reads=True) as tx:
        rows = tx.rows("SELECT body FROM directive")
    assert len(rows) == 1
    return Directive.from_json(rows[0][0])


def naming(reference: str) -> dict[str, Any]:
    """A choice that names somebody at its second level."""
    nested = {"type": "deny", "actor": [{"reference": {"reference": reference}}]}
    return without_id(consent() | {"provision": {"type": "permit", "provision": [nested]}})


def without_id(resource: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in resource.items() if name != "id"}


def delete(store: Store, one: Stored) -> None:
    with store.begin() as tx:
        resources.delete(tx, everything(), one)


def test_whom_a_choice_names_is_told_anew_when_they_arrive_and_when_they_go(store: Store) -> None:
    for type_name in ("Practitioner", "Group", "CareTeam"):
        create(store, without_id(patient()), "p1") if type_name == "Practitioner" else None
        made = create(store, naming(f"{type_name}/late"), f"c-{type_name}")
        assert rules(store).root.children[0].actors[0].key == "?"  # type: ignore[index]
        late = create(store, {"resourceType": type_name}, "late")
        assert rules(store).root.children[0].actors[0].key == f"{type_name}/late"  # type: ignore[index]
        delete(store, late)
        assert rules(store).root.children[0].actors[0].key == "?"  # type: ignore[index]
        delete(store, made)


def test_a_choice_that_names_its_patient_by_number_binds_that_patient_unless_two_have_it(store: Store) -> None:
    held = create(store, without_id(patient()), "p1")
    by_number = without_id(consent()) | {"patient": {"identifier": patient()["identifier"][0]}}
    assert create(store, by_number, "c1").patient == held.rid
    create(store, without_id(patient()), "p2")
    assert create(store, by_number, "c2").patient == 0


def test_members_of_a_group_and_of_a_team_without_a_patient_are_known_while_they_are_members(store: Store) -> None:
    create(store, {"resourceType": "Practitioner"}, "dr")
    member = {"reference": "Practitioner/dr"}
    create(store, {"resourceType": "CareTeam", "status": "active", "participant": [{"member": member}]}, "t")
    left = {"entity": member, "inactive": True}
    create(store, {"resourceType": "Group", "type": "practitioner", "actual": True, "member": [left]}, "former")
    now = {"entity": member, "period": {"end": "2026-06-30"}}
    create(store, {"resourceType": "Group", "type": "practitioner", "actual": True, "member": [now]}, "g")
    from app.access.information import groups_of

    with store.begin(reads=True) as tx:
        at = 1_773_136_800_000_000
        groups, until = groups_of(tx, "Practitioner/dr", ["ods:RXB"], at)
        assert groups == {"CareTeam/t", "Group/g"}
        assert until is not None and until > at
        assert groups_of(tx, "Practitioner/dr", ["ods:RXB"], until)[0] == {"CareTeam/t"}


def test_a_record_that_was_merged_and_deleted_keeps_what_was_said_on_it_with_the_person(store: Store) -> None:
    kept = create(store, without_id(patient("p1")), "p1")
    link = [{"other": {"reference": "Patient/p1"}, "type": "replaced-by"}]
    old = create(store, without_id(patient("p0", "9990000026")) | {"link": link}, "p0")
    create(store, without_id(consent(subject="p0")), "c1")
    delete(store, old)
    with store.begin() as tx:
        found = resources.get(tx, everything(), "Patient", "p1")
        assert found is not None
        resources.update(tx, everything(), found, without_id(patient("p1")) | {"active": True})
    with store.begin(reads=True) as tx:
        groups = dict(tx.rows("SELECT patient, grp FROM person"))
        assert groups[kept.rid] == groups[old.rid]
        assert tx.rows("SELECT DISTINCT flags FROM person") == [(0,)]


def test_a_link_to_a_record_that_was_deleted_cannot_be_followed(store: Store) -> None:
    kept = create(store, without_id(patient("p1")), "p1")
    link = [{"other": {"reference": "Patient/p1"}, "type": "replaced-by"}]
    create(store, without_id(patient("p0", "9990000026")) | {"link": link}, "p0")
    delete(store, kept)
    with store.begin(reads=True) as tx:
        assert tx.rows("SELECT DISTINCT flags FROM person") == [(1,)]


def test_the_studies_that_any_version_of_a_report_named_are_kept_when_it_is_deleted(store: Store) -> None:
    report = {"resourceType": "DiagnosticReport", "status": "final", "imagingStudy": [{"reference": "ImagingStudy/s1"}]}
    made = create(store, report, "r1")
    number = {"identifier": {"system": "urn:dicom:uid", "value": "urn:oid:1.2.3"}}
    with store.begin() as tx:
        made = resources.update(tx, everything(), made, report | {"imagingStudy": [number]})
    delete(store, made)
    with store.begin(reads=True) as tx:
        from app.storage.projection import REPORT_NAMES

        named = tx.rows("SELECT target FROM reference WHERE param = ? ORDER BY 1", REPORT_NAMES)
        assert named == [("s1",), ("urn:oid:1.2.3",)]
        assert orjson.loads(tx.rows("SELECT content FROM history WHERE version = 1")[0][0])["status"] == "final"
