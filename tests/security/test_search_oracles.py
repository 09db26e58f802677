"""Attacks 32 to 48: a search asked so that its answer, its length or its silence would tell of what is withheld.

The registry that never held it answers the same, page for page.
"""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from flask import Flask

from tests.properties.hidden_requests import Ask
from tests.security.sides import ARCHIVE, DOCTOR, MR_UID, SYSTEM, Sides, alike
from tests.support.region import NHS, Caller, caller, consent, episode, patient

ALL = (DOCTOR, SYSTEM, ARCHIVE)


@pytest.mark.attack(32)
def test_a_count_counts_nothing_withheld(sides: Sides) -> None:
    queries = (
        "_summary=count",
        "_count=0&_total=accurate",
        "_total=estimate",
        "_total=accurate&modality=MR",
        "_summary=count&_security=R",
    )
    alike(sides, *(f"/{kind}?{one}" for kind in ("ImagingStudy",) for one in queries), "/DiagnosticReport?_summary=count", "/Endpoint?_summary=count", "/Patient?_total=accurate&_has:ImagingStudy:patient:modality=MR", who=ALL)  # fmt: skip


@pytest.mark.attack(33)
def test_pages_are_full_and_their_number_tells_nothing(sides: Sides) -> None:
    alike(sides, "/ImagingStudy?_count=1", "/ImagingStudy?_count=1&_total=accurate", "/ImagingStudy?patient=p1&_count=1&_sort=started", "/DiagnosticReport?_count=1", "/Patient?_count=1&_revinclude=ImagingStudy:patient", who=ALL)  # fmt: skip


@pytest.mark.attack(34)
def test_nothing_withheld_is_included(sides: Sides) -> None:
    alike(sides, "/DiagnosticReport?_include=DiagnosticReport:study", "/DiagnosticReport?patient=p1&_include=DiagnosticReport:study", "/ImagingStudy?_include=ImagingStudy:endpoint&_include=ImagingStudy:basedon", "/ServiceRequest?_id=o1&_revinclude:iterate=ImagingStudy:basedon&_include:iterate=ImagingStudy:endpoint", "/ImagingStudy?_id=s1&_revinclude=DiagnosticReport:study&_include:iterate=DiagnosticReport:study", who=ALL)  # fmt: skip


@pytest.mark.attack(35)
def test_nothing_withheld_is_included_in_reverse(sides: Sides) -> None:
    alike(sides, "/Patient?_id=p1&_revinclude=ImagingStudy:patient&_revinclude=DiagnosticReport:patient", "/Patient?_id=p1&_revinclude=ImagingStudy:subject", "/Endpoint?_revinclude=ImagingStudy:endpoint", "/ServiceRequest?_revinclude=ImagingStudy:basedon", "/Organization?_revinclude=Endpoint:organization", "/Patient?_id=p1&_revinclude=*", answers=[200, 400])  # fmt: skip


@pytest.mark.attack(35)
def test_who_looked_and_what_was_chosen_is_included_for_nobody_but_the_privacy_role(
    app: Flask, steward: Caller, treating: Caller
) -> None:
    steward.put("/Consent/c1", consent(provision={"type": "permit"}))
    treating.get("/ImagingStudy/s1")
    for what in (
        "Consent:patient",
        "Provenance:target",
        "Provenance:patient",
        "AuditEvent:entity",
        "Task:patient",
        "*",
    ):
        found = treating.get(f"/Patient?_id=p1&_revinclude={what}")
        kinds = (
            {one["resource"]["resourceType"] for one in (found.json.get("entry") or ())}
            if found.status_code == 200
            else set()
        )
        assert not kinds & {"Consent", "Provenance", "AuditEvent", "Task", "Communication"}, what
    officer = caller(app, "app", "RXB", "user/*.rs", role="privacy", practitioner="Practitioner/ig")
    found = officer.get("/Patient?_id=p1&_revinclude=Consent:patient").json["entry"]
    assert "Consent" in {one["resource"]["resourceType"] for one in found}


@pytest.mark.attack(36)
def test_a_chain_through_a_stranger_tells_nothing_of_them(sides: Sides) -> None:
    alike(sides, "/ImagingStudy?patient.family=Demo", "/ImagingStudy?subject:Patient.birthdate=1970-02-03", "/DiagnosticReport?patient.gender=female", "/ServiceRequest?patient.family=Demo", "/DiagnosticReport?study.modality=MR", "/DiagnosticReport?study.patient.family=Demo")  # fmt: skip
    alike(sides, f"/ImagingStudy?patient.identifier={NHS}|9990000034", "/ImagingStudy?patient=p3", answers=[403])


@pytest.mark.attack(36)
def test_a_chain_to_a_stranger_of_ones_own_study_holds_for_none(app: Flask, steward: Caller) -> None:
    """The order of one's own patient is found, and nothing said of somebody else whom it does not name to the asker."""
    steward.put("/Patient/p2", patient("p2", "9990000026"))
    over = {"start": "2026-01-01", "end": "2026-01-02"}
    steward.put("/EpisodeOfCare/e2", episode("e2", "RXB", "p2", "finished", period=over))
    system = caller(app, ods="RXB")
    assert sorted(system.ids("/EpisodeOfCare")) == ["e1", "e2"]
    for path in ("/EpisodeOfCare?patient.family=Demo", "/EpisodeOfCare?patient.birthdate=1970-02-03"):
        assert system.ids(path) == ["e1"], path


@pytest.mark.attack(37)
def test_has_does_not_look_into_what_is_withheld(sides: Sides) -> None:
    alike(sides, "/Patient?_has:ImagingStudy:patient:modality=MR", f"/Patient?_has:ImagingStudy:patient:identifier=urn:dicom:uid|urn:oid:{MR_UID}", "/Patient?_has:DiagnosticReport:patient:status=final", "/Endpoint?_has:ImagingStudy:endpoint:modality=MR", "/ServiceRequest?_has:ImagingStudy:basedon:modality=MR", "/Patient?_has:ImagingStudy:patient:_has:DiagnosticReport:study:_id=r2", "/Organization?_has:Endpoint:organization:_has:ImagingStudy:endpoint:modality=MR", answers=[200, 400])  # fmt: skip


@pytest.mark.attack(37)
def test_has_does_not_look_into_choices_and_tasks(steward: Caller, treating: Caller) -> None:
    steward.put("/Consent/c1", consent(provision={"type": "permit"}))
    for path in ("/Patient?_has:Consent:patient:status=active", "/Patient?_has:Task:patient:status=requested"):
        found = treating.get(path)
        assert found.status_code in (400, 403) or found.json.get("entry") is None, found.text


@pytest.mark.attack(38)
def test_a_date_is_not_found_by_halving(sides: Sides) -> None:
    low, high = datetime(2016, 1, 1, tzinfo=UTC), datetime(2024, 1, 1, tzinfo=UTC)
    paths = []
    for _ in range(8):
        middle = low + (high - low) / 2
        paths += [f"/ImagingStudy?started={mark}{middle:%Y-%m-%d}" for mark in ("ge", "lt", "ap", "sa", "eb", "ne")]
        low, high = (middle, high) if middle < datetime(2020, 5, 5, tzinfo=UTC) else (low, middle)
    alike(sides, *paths)
    alike(sides, "/ImagingStudy?patient=p1&started=ge2020-05-05&started=lt2020-05-06")


@pytest.mark.attack(39)
def test_neither_order_nor_shape_of_an_answer_drops_the_label_before_it_is_judged(sides: Sides) -> None:
    shapes = ("_sort=started", "_sort=-started", "_sort=description", "_sort=-_lastUpdated", "_elements=identifier", "_summary=true", "_summary=text", "_summary=data", "_elements=id&_sort=-started&_count=1")  # fmt: skip
    alike(sides, *(f"/ImagingStudy?{shape}" for shape in shapes), *(f"/ImagingStudy?patient=p1&{shape}" for shape in shapes), answers=[200, 400])  # fmt: skip


@pytest.mark.attack(40)
def test_a_list_of_ids_finds_those_that_may_be_seen(sides: Sides) -> None:
    alike(sides, "/ImagingStudy?_id=s1,s2,s3,s4,never&_total=accurate", "/ImagingStudy?_id=s2", "/ImagingStudy?_id=s2,s4", "/DiagnosticReport?_id=r1,r2,r3", "/Endpoint?_id=archive-rxa,archive-rxc", "/Patient?_id=p1,p3,p9", who=ALL)  # fmt: skip


@pytest.mark.attack(41)
def test_not_and_missing_turn_nothing_withheld_into_an_answer(sides: Sides) -> None:
    alike(sides, "/ImagingStudy?modality:not=CT", "/ImagingStudy?status:not=cancelled&_total=accurate", "/ImagingStudy?description:missing=true", "/ImagingStudy?endpoint:missing=false", "/ImagingStudy?basedon:missing=false", "/ImagingStudy?patient:missing=true", "/DiagnosticReport?study:missing=true", "/ServiceRequest?_has:ImagingStudy:basedon:modality:not=CT", "/Patient?_has:ImagingStudy:patient:description:missing=false", answers=[200, 400])  # fmt: skip


@pytest.mark.attack(42)
def test_a_label_is_no_way_to_what_it_withholds(sides: Sides) -> None:
    label = "http://terminology.hl7.org/CodeSystem/v3-Confidentiality"
    alike(sides, "/ImagingStudy?_security=R", f"/ImagingStudy?_security={label}|R&_summary=count", "/ImagingStudy?_security:not=N", "/ImagingStudy?_security=N,R&_total=accurate", "/Patient?_has:ImagingStudy:patient:_security=R", "/ImagingStudy?patient=p1&_security=R", answers=[200, 400])  # fmt: skip


@pytest.mark.attack(43)
def test_asking_for_what_changed_tells_of_no_withheld_change(sides: Sides) -> None:
    alike(sides, "/ImagingStudy?_lastUpdated=ge2020-01-01", "/ImagingStudy?_lastUpdated=ge2026-03-09T00:00:00Z&_total=accurate", "/ImagingStudy/_history?_since=2020-01-01", "/_history?_since=2020-01-01&_count=2", "/Patient?_lastUpdated=ge2020", "/DiagnosticReport?_lastUpdated=gt2020&_summary=count")  # fmt: skip


@pytest.mark.attack(44)
def test_a_page_link_read_again_after_the_withdrawal_shows_nothing_more(steward: Caller, treating: Caller) -> None:
    from tests.support.region import STUDY_UID, study

    for n in range(3):
        steward.put(f"/ImagingStudy/x{n}", study(f"x{n}", f"{STUDY_UID}.{n + 10}"))
    page = treating.get("/ImagingStudy?patient=p1&_count=1").json
    following = next(one["url"] for one in page["link"] if one["relation"] == "next").split("/fhir")[1]
    assert len(treating.ids(following)) == 1
    steward.put("/Consent/c1", consent())
    assert treating.ids(following) == []


@pytest.mark.attack(45)
def test_a_search_by_post_and_by_both_is_the_same_search(sides: Sides) -> None:
    form = (("Content-Type", "application/x-www-form-urlencoded"),)
    asks = [
        Ask("POST", "/ImagingStudy/_search", "_security=R", form),
        Ask("POST", "/ImagingStudy/_search?patient=p1", "modality=MR&_total=accurate", form),
        Ask("POST", "/ImagingStudy/_search?_id=s1", "_id=s2", form),
        Ask("POST", "/ImagingStudy/_search", "_id=s2&_id=s2", form),
        Ask("POST", "/ImagingStudy/_search", "_id=%EF%BD%93%EF%BC%92", form),  # s2, in full width
        Ask("POST", "/ImagingStudy/_search", "_id=s%C3%B62&modality=M%C2%ADR", form),
        Ask("GET", "/ImagingStudy?patient=p1&patient=p3"),
        Ask("GET", "/ImagingStudy?patient=p3&patient=p1"),
        Ask("GET", "/ImagingStudy?patient=p1,p3"),
    ]
    alike(sides, *asks, answers=[200, 400, 403])


@pytest.mark.attack(46)
def test_operations_on_a_person_give_nothing_withheld(sides: Sides) -> None:
    wanted = {
        "resourceType": "Patient",
        "identifier": [{"system": NHS, "value": "9990000034"}],
        "birthDate": "1970-02-03",
    }
    body = {"resourceType": "Parameters", "parameter": [{"name": "resource", "resource": wanted}]}
    alike(sides, "/Patient/p1/$everything", "/Patient/p1/$everything?_count=1", "/Patient/p1/$everything?_type=ImagingStudy", Ask("POST", "/Patient/$match", body), "/ImagingStudy/$explain-access?patient=p1", answers=[200])  # fmt: skip
    alike(sides, "/Patient/p3/$everything", "/ImagingStudy/s2/$explain-access", answers=[404, 403])


@pytest.mark.attack(47)
def test_a_compartment_is_a_search_like_any_other(sides: Sides) -> None:
    alike(sides, "/Patient/p1/ImagingStudy", "/Patient/p1/ImagingStudy?modality=MR&_summary=count", "/Patient/p1/DiagnosticReport?_count=1", "/Patient/p1/EpisodeOfCare?_revinclude=ImagingStudy:patient", answers=[200, 400])  # fmt: skip
    alike(
        sides, "/Patient/p3/ImagingStudy", "/Patient/never/ImagingStudy", "/Patient/p3/DiagnosticReport", answers=[403]
    )


@pytest.mark.attack(48)
def test_a_study_of_a_stranger_that_names_ones_own_patients_order_is_no_part_of_their_record(sides: Sides) -> None:
    """s3 is p3's, and says that it is based on an order of p1: a reference makes nobody a member of anything."""
    alike(sides, "/Patient/p1/ImagingStudy", "/Patient/p1/$everything", "/ImagingStudy?basedon=ServiceRequest/o1", "/ServiceRequest?_id=o1&_revinclude=ImagingStudy:basedon", "/ImagingStudy?basedon.patient=p1")  # fmt: skip
