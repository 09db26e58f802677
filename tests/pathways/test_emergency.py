"""Emergency referral from A to the team at B: access at once, for the region's hours; renewed by A, closed by the episode
(P8; attacks 49 and 50), with the functions that pages call and as a plain ServiceRequest over HTTP."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from flask import Flask

from app.fhir.outcome import Fault
from app.fhir.temporal import format_instant
from app.interactions import Services
from app.pathways import emergency
from app.pathways.emergency import Plea
from app.pathways.scheduled import carry_out
from tests.pathways.conftest import HOUR, Clock
from tests.pathways.test_mdt import asked, person
from tests.support.region import Caller, caller, episode, patient

SEARCH = "/ImagingStudy?patient=p1"
PLEA = Plea("9990000018", "RXC", "subarachnoid haemorrhage, for the neurosurgeon on call")


def refused(work: Callable[[], Any]) -> tuple[int, str | None]:
    with pytest.raises(Fault) as raised:
        work()
    return raised.value.status, raised.value.expression


def test_the_team_at_the_other_side_sees_at_once_and_for_seventy_two_hours(
    app: Flask, services: Services, steward: Caller, clock: Clock
) -> None:
    assert person(app, "surgeon").get(SEARCH).status_code == 403
    sent = emergency.refer(services, asked("dr-b"), PLEA, submission="page")
    assert (sent.sender, sent.to, sent.state, sent.mine, sent.until - sent.begun) == (
        "RXB",
        "RXC",
        "open",
        True,
        72 * HOUR,
    )
    assert emergency.refer(services, asked("dr-b"), PLEA, submission="page").id == sent.id
    assert person(app, "surgeon").ids(SEARCH) == ["s1"] and caller(app, ods="RXC").ids(SEARCH) == ["s1"]
    assert person(app, "other", "RXA01").get(SEARCH).status_code == 403
    (there,) = emergency.open_ones(services, asked("surgeon", "RXC"))
    assert (there.id, there.mine, there.name, there.reason) == (sent.id, False, "Willow Demo", PLEA.reason)
    assert emergency.open_ones(services, asked("other", "RXA")) == []
    clock.forward(hours=71.9)
    assert carry_out(services) == 1
    assert person(app, "surgeon").ids(SEARCH) == ["s1"]
    clock.forward(hours=0.2)
    assert person(app, "surgeon").get(SEARCH).status_code == 403
    assert [carry_out(services), carry_out(services)] == [1, 0]
    (over,) = emergency.open_ones(services, asked("dr-b"), closed=True)
    assert over.state == "ended" and emergency.open_ones(services, asked("dr-b")) == []


def test_it_is_renewed_by_whoever_sent_it(app: Flask, services: Services, steward: Caller, clock: Clock) -> None:
    sent = emergency.refer(services, asked("dr-b"), PLEA)
    clock.forward(hours=70)
    assert refused(lambda: emergency.renew(services, asked("surgeon", "RXC"), sent.id)) == (403, None)
    again = emergency.renew(services, asked("dr-b"), sent.id, submission="page")
    assert emergency.renew(services, asked("dr-b"), sent.id, submission="page").id == again.id
    assert again.until - sent.until > 69 * HOUR
    clock.forward(hours=10)
    assert person(app, "surgeon").ids(SEARCH) == ["s1"]
    states = {one.id: one.state for one in emergency.open_ones(services, asked("dr-b"), closed=True)}
    assert states == {sent.id: "renewed", again.id: "open"}


def test_it_is_closed_by_either_side_at_once(app: Flask, services: Services, steward: Caller) -> None:
    for who, why in ((asked("dr-b"), "sender"), (asked("surgeon", "RXC"), "receiver")):
        sent = emergency.refer(services, asked("dr-b"), PLEA)
        assert refused(lambda id=sent.id: emergency.close(services, asked("other", "RXA"), id)) == (404, None)
        assert emergency.close(services, who, sent.id).state == why
        assert emergency.close(services, asked("dr-b"), sent.id).state == why
        assert person(app, "surgeon").get(SEARCH).status_code == 403


def test_the_episode_at_the_other_side_closes_it_when_it_ends(
    app: Flask, services: Services, steward: Caller, clock: Clock
) -> None:
    emergency.refer(services, asked("dr-b"), PLEA)
    there = caller(app, ods="RXC")
    now = services.store.clock()
    period = {"start": format_instant(now)}
    assert there.put("/EpisodeOfCare/there", episode("there", "RXC", period=period)).status_code == 201
    clock.forward(hours=2)
    carry_out(services)
    assert len(emergency.open_ones(services, asked("dr-b"))) == 1
    period = period | {"end": format_instant(services.store.clock())}
    there = caller(app, ods="RXC")
    done = episode("there", "RXC", status="finished", period=period)
    assert there.put("/EpisodeOfCare/there", done).status_code == 200
    clock.forward(hours=2)
    carry_out(services)
    assert [one.state for one in emergency.open_ones(services, asked("dr-b"), closed=True)] == ["episode"]
    assert person(app, "surgeon").get(SEARCH).status_code == 403


def test_nobody_refers_to_themselves_or_whom_they_do_not_care_for(services: Services, steward: Caller) -> None:
    """Attack 49."""
    steward.put("/Patient/p2", patient("p2", "9990000026"))
    cases: tuple[tuple[Any, dict[str, Any], int, str | None], ...] = (
        (asked("dr-b"), {"to": "RXB"}, 422, "to"),
        (asked("dr-b"), {"to": "RXB01"}, 422, "to"),
        (asked("dr-b"), {"to": "NOBODY"}, 422, "to"),
        (asked("dr-b"), {"priority": "routine"}, 422, "priority"),
        (asked("dr-b"), {"reason": " "}, 422, "reason"),
        (asked("dr-b"), {"reason": "x" * 2001}, 422, "reason"),
        (asked("dr-b"), {"patient": "9990000026"}, 422, "patient"),
        (asked("dr-b"), {"patient": "Patient/nobody"}, 422, "patient"),
        (asked("surgeon", "RXC"), {"to": "RXA"}, 422, "patient"),
        (asked("ig", role="privacy"), {}, 403, None),
        (asked("dr-b", practitioner=None), {}, 403, None),
    )
    for who, changes, status, field in cases:
        assert refused(lambda who=who, c=changes: emergency.refer(services, who, replace(PLEA, **c))) == (status, field)
    assert steward.get("/ServiceRequest").json.get("entry") is None


def test_a_record_system_refers_by_a_plain_service_request(app: Flask, steward: Caller, treating: Caller) -> None:
    """And not one that is back-dated, in the future, or to itself by whoever has none of the patient's care."""

    def request(id: str, ods: str, by: str, **more: Any) -> dict[str, Any]:
        return {
            "resourceType": "ServiceRequest", "id": id, "status": "active", "intent": "order", "priority": "stat",
            "subject": {"reference": "Patient/p1"}, "requester": {"reference": f"Organization/{by}"},
            "performer": [{"reference": f"Organization/{ods}"}],
            "authoredOn": format_instant(app.extensions["services"].store.clock()),
        } | more  # fmt: skip

    stranger = caller(app, ods="RXC")
    assert stranger.put("/ServiceRequest/mine", request("mine", "rxc", "rxc")).status_code == 403
    assert stranger.put("/ServiceRequest/mine", request("mine", "rxc", "rxb")).status_code == 403
    old = request("old", "rxc", "rxb", authoredOn="2026-01-01T00:00:00Z")
    assert treating.put("/ServiceRequest/old", old).status_code == 201
    assert person(app, "surgeon").get(SEARCH).status_code == 403
    assert treating.put("/ServiceRequest/r1", request("r1", "rxc", "rxb")).status_code == 201
    assert person(app, "surgeon").ids(SEARCH) == ["s1"]
    revoked = request("r1", "rxc", "rxb", status="revoked")
    assert treating.put("/ServiceRequest/r1", revoked).status_code == 200
    assert person(app, "surgeon").get(SEARCH).status_code == 403
