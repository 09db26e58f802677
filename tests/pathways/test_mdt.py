"""MDT over HTTP: named reviewers see the images of the list's patients for the time of the meeting, nobody else does, and
whoever coordinates sees that they exist (policy.md, step 9 and P24; attack 51)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask

from app.access.subject import Subject
from app.fhir.outcome import Fault
from app.interactions import Asked, Services
from app.pathways import mdt
from app.pathways.clocks import local_date
from app.pathways.mdt import Convening, Glance
from app.pathways.scheduled import carry_out
from tests.pathways.conftest import Clock
from tests.support.region import NHS, Caller, caller, consent, episode, patient, study

CONVENING = Convening("Neuro-oncology", "RXC", ("Practitioner/reviewer",), ("9990000018",), ("Practitioner/clerk",))


@pytest.fixture
def people(steward: Caller) -> None:
    for id in ("reviewer", "clerk", "other", "dr-b"):
        steward.put(f"/Practitioner/{id}", {"resourceType": "Practitioner", "id": id})


def person(app: Flask, name: str, ods: str = "RXC", role: str = "clinician") -> Caller:
    return caller(app, "app", ods, "user/*.rs", role=role, practitioner=f"Practitioner/{name}")


def asked(name: str, ods: str = "RXB", role: str = "clinician", **more: Any) -> Asked:
    subject = Subject("desk", "user", f"ods:{ods}", role, "TREAT", ("user/*.cruds",), f"Practitioner/{name}")
    return Asked(replace(subject, **more))


def refused(work: Callable[[], Any]) -> tuple[int, str | None]:
    with pytest.raises(Fault) as raised:
        work()
    return raised.value.status, raised.value.expression


def test_reviewers_see_for_the_time_of_the_meeting_and_it_closes_by_itself(
    app: Flask, services: Services, steward: Caller, people: None, clock: Clock
) -> None:
    assert person(app, "reviewer").get("/ImagingStudy?patient=p1").status_code == 403
    meeting = mdt.set_up(services, asked("dr-b"), CONVENING, submission="page")
    assert mdt.set_up(services, asked("dr-b"), CONVENING, submission="page").id == meeting.id
    assert person(app, "reviewer").ids("/ImagingStudy?patient=p1") == ["s1"]
    assert person(app, "reviewer").get("/ImagingStudy/s1").json["endpoint"]
    assert person(app, "other").get("/ImagingStudy?patient=p1").status_code == 403
    assert person(app, "reviewer", "RXA01").get("/ImagingStudy?patient=p1").status_code == 403
    assert caller(app, ods="RXC").get("/ImagingStudy?patient=p1").status_code == 403
    assert carry_out(services) == 0
    clock.forward(days=15)
    assert person(app, "reviewer").get("/ImagingStudy?patient=p1").status_code == 403
    assert [carry_out(services), carry_out(services)] == [1, 0]
    again = caller(app, "steward", "ZZZ", purpose=None)
    assert again.get(f"/{meeting.items[0].team}").json["status"] == "inactive"
    assert not mdt.lists(services, asked("dr-b"))[0].open


def test_whoever_coordinates_sees_existence_date_modality_and_source_alone(
    app: Flask, services: Services, steward: Caller, people: None
) -> None:
    id = mdt.set_up(services, asked("dr-b"), CONVENING).id
    seen = mdt.find(services, asked("clerk", "RXC", "clerical"), id)
    assert [one.studies for one in seen.items] == [(Glance("s1", "2026-02-01T09:30:00Z", ("CT",), "RXA"),)]
    assert (seen.items[0].name, seen.items[0].number) == ("Willow Demo", "9990000018")
    shown = person(app, "clerk", role="clerical").get("/ImagingStudy/s1").json
    assert not {"endpoint", "identifier", "series", "description"} & shown.keys()
    for other in (asked("other", "RXC"), asked("other", "RXA"), asked("other", "RXC", "clerical")):
        assert refused(lambda other=other: mdt.find(services, other, id)) == (404, None)
        assert mdt.lists(services, other) == []
    assert [one.id for one in mdt.lists(services, asked("reviewer", "RXC"))] == [id]


def test_an_opt_out_withholds_from_reviewers_too(app: Flask, services: Services, steward: Caller, people: None) -> None:
    id = mdt.set_up(services, asked("dr-b"), CONVENING).id
    steward.put("/Consent/c1", consent())
    assert person(app, "reviewer").ids("/ImagingStudy?patient=p1") == []
    assert mdt.find(services, asked("reviewer", "RXC"), id).items[0].studies == ()


def test_a_meeting_is_closed_at_once_by_whoever_set_it_up(
    app: Flask, services: Services, steward: Caller, people: None
) -> None:
    id = mdt.set_up(services, asked("dr-b"), CONVENING).id
    assert refused(lambda: mdt.close(services, asked("reviewer", "RXC"), id)) == (403, None)
    assert not mdt.close(services, asked("dr-b"), id).open
    assert not mdt.close(services, asked("dr-b"), id).open
    assert person(app, "reviewer").get("/ImagingStudy?patient=p1").status_code == 403
    assert carry_out(services) == 0


def test_nobody_opens_anything_for_themselves_or_for_patients_who_are_not_in_care(
    app: Flask, services: Services, steward: Caller, people: None
) -> None:
    """Attack 51."""
    steward.put("/Patient/p2", patient("p2", "9990000026"))
    assert refused(lambda: mdt.set_up(services, asked("reviewer"), CONVENING)) == (403, "reviewers")
    assert refused(lambda: mdt.set_up(services, asked("clerk", role="clerical"), CONVENING)) == (403, "reviewers")
    for who in (asked("dr-b", role="privacy"), asked("dr-b", role="patient"), asked("dr-b", practitioner=None)):
        assert refused(lambda who=who: mdt.set_up(services, who, CONVENING)) == (403, None)
    for named in ("9990000026", "Patient/p2", "9990000034", "Patient/nobody", "", "x y"):
        wrong = replace(CONVENING, patients=("9990000018", named))
        assert refused(lambda wrong=wrong: mdt.set_up(services, asked("dr-b"), wrong)) == (422, "patients[1]")
    assert refused(lambda: mdt.set_up(services, asked("dr-c", "RXC"), CONVENING)) == (422, "patients[0]")
    assert steward.get("/CareTeam").json.get("entry") is None


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"name": " "}, "name"),
        ({"name": "x" * 201}, "name"),
        ({"organisation": "NOBODY"}, "organisation"),
        ({"reviewers": ()}, "reviewers"),
        ({"reviewers": ("Practitioner/nobody",)}, "reviewers"),
        ({"reviewers": ("https://fhir.nhs.uk/Id/sds-user-id|1",)}, "reviewers"),
        ({"coordinators": ("nobody",)}, "coordinators"),
        ({"patients": ()}, "patients"),
        ({"patients": ("1",) * 201}, "patients"),
        ({"starts": "tomorrow"}, "starts"),
        ({"starts": "2020-01-01"}, "starts"),
        ({"ends": "2020-01-01"}, "ends"),
        ({"ends": "2099-01-01"}, "ends"),
    ],
)
def test_each_wrong_field_is_named(
    services: Services, steward: Caller, people: None, changes: dict[str, Any], field: str
) -> None:
    wrong = replace(CONVENING, **changes)
    assert refused(lambda: mdt.set_up(services, asked("dr-b"), wrong)) == (422, field)


def test_a_record_system_convenes_by_an_operation(
    app: Flask, services: Services, steward: Caller, treating: Caller, people: None
) -> None:
    steward.put("/Patient/p2", patient("p2", "9990000026"))
    steward.put("/EpisodeOfCare/e2", episode("e2", subject="p2"))
    steward.put("/ImagingStudy/s2", study("s2", "1.2.826.0.1.3680043.8.498.2", subject="p2"))
    ends = local_date(services.store.clock(), "Europe/London") + timedelta(days=3)
    said: list[dict[str, Any]] = [
        {"name": "name", "valueString": "Thoracic"},
        {"name": "organization", "valueIdentifier": {"value": "RXC"}},
        {"name": "reviewer", "valueReference": {"reference": "Practitioner/reviewer"}},
        {"name": "patient", "valueIdentifier": {"system": NHS, "value": "9990000018"}},
        {"name": "patient", "valueReference": {"reference": "Patient/p2"}},
        {"name": "ends", "valueDate": ends.isoformat()},
    ]
    answer = treating.post("/CareTeam/$convene-mdt", {"resourceType": "Parameters", "parameter": said})
    assert answer.status_code == 201, answer.text
    teams = [one for one in answer.json["parameter"] if one["name"] == "team"]
    assert len(teams) == 2
    assert sorted(person(app, "reviewer").ids("/ImagingStudy")) == ["s1", "s2"]
    for wrong in (said[:2], [*said, {"name": "what"}], [{"name": "reviewer"}], "x"):
        got = treating.post("/CareTeam/$convene-mdt", {"resourceType": "Parameters", "parameter": wrong})
        assert got.status_code in (400, 422), got.text
    stranger = caller(app, ods="RXC").post("/CareTeam/$convene-mdt", {"resourceType": "Parameters", "parameter": said})
    assert stranger.status_code == 422
    assert person(app, "reviewer").post("/CareTeam/$convene-mdt", {"resourceType": "Parameters"}).status_code != 201
