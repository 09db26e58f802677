"""Looking ahead never shows more: what was found by an ordinary patient's condition counts for a grant with the very same
condition for those whom it is about, and for no other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from flask import Flask

from app.access.enforcement import Enforcement
from app.policy.grant import About, Everything, Grant, OwnedBy, Population, Slice, Studies, StudyCase
from app.policy.predicate import FALSE, TRUE, Status
from app.storage import foresight
from app.storage.engine import Tx
from tests.support.region import Caller, caller, consent, organization, settle

ORDINARY = Status(frozenset({"available"}))
AHEAD = Grant("", 0, {"ImagingStudy": (Studies(otherwise=ORDINARY),), "Patient": (Everything(),)})


def decided(*cases: StudyCase, people: tuple[int, ...] = (1, 2), **more: Any) -> Grant:
    return Grant("d", 0, {"ImagingStudy": (Studies(cases, **more),), "Patient": (OwnedBy(("a",)), About(people))})


SAME = decided(StudyCase((1, 2), ORDINARY))


def released(grant: Grant, *patients: int) -> bool:
    return foresight.same(AHEAD, grant, "ImagingStudy", patients)


def test_a_grant_with_the_same_condition_for_the_same_patients_takes_what_was_foreseen() -> None:
    assert released(SAME, 1, 2)
    assert released(decided(StudyCase((1,), ORDINARY), StudyCase((2,), FALSE)), 1)


@pytest.mark.parametrize(
    ("grant", "patients"),
    [
        (decided(StudyCase((1, 2), FALSE)), (1,)),
        (decided(StudyCase((1, 2), TRUE)), (1,)),
        (decided(StudyCase((1,), ORDINARY), StudyCase((2,), FALSE)), (1, 2)),
        (SAME, (1, 3)),
        (SAME, (0,)),
        (decided(StudyCase((1, 2), ORDINARY), people=(1,)), (1,)),
        (decided(StudyCase((1, 2), ORDINARY), people=()), (1,)),
        (replace(SAME, locate=Studies()), (1,)),
        (replace(SAME, redact=True), (1,)),
        (replace(SAME, within={"ImagingStudy": (Slice("Patient/1"),)}), (1,)),
        (replace(SAME, within={"Endpoint": ()}), (1,)),
        (replace(SAME, rows={}), (1,)),
        (replace(SAME, rows={"ImagingStudy": (Everything(),)}), (1,)),
        (decided(population=Population(("a",), None, (), 0), ordinary=ORDINARY), (1,)),
    ],
)
def test_any_other_grant_asks_again(grant: Grant, patients: tuple[int, ...]) -> None:
    assert not released(grant, *patients)


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """For each time that something foreseen was wanted, whether it was taken."""
    found: list[bool] = []
    seen = foresight.seen

    def noted(tx: Tx, grant: Grant, asked: object, type_name: str, patients: Callable[..., Any]) -> Any:
        rows = seen(tx, grant, asked, type_name, patients)
        found.append(rows is not None)
        return rows

    monkeypatch.setattr(foresight, "seen", noted)
    return found


ASKED = ("/ImagingStudy/s1", "/ImagingStudy?patient=p1", "/ImagingStudy?patient=p1&_include=ImagingStudy:endpoint")


def answers(trust: Caller) -> list[Any]:
    """What is shown, without what differs from answer to answer."""
    shown = [trust.get(path).json for path in ASKED]
    return [one.get("entry", one) for one in shown]


def test_for_an_ordinary_patient_what_was_foreseen_is_the_answer(
    app: Flask, taken: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    settle(app)
    trust = caller(app)
    taken.clear()
    ahead = answers(trust)
    assert taken == [True, True, True]
    monkeypatch.setattr(Enforcement, "foreseen", lambda *_: None)
    assert answers(trust) == ahead
    assert ahead[0]["id"] == "s1"
    assert [len(found) for found in ahead[1:]] == [1, 2]
    assert taken[3:] == [False, False, False]


def test_what_was_foreseen_of_a_patient_who_opts_out_is_forgotten(app: Flask, taken: list[bool]) -> None:
    steward = settle(app)
    trust = caller(app)
    assert steward.put("/Consent/c1", consent()).status_code == 201
    taken.clear()
    assert trust.get(ASKED[0]).status_code == 404
    assert [trust.ids(path) for path in ASKED[1:]] == [[], []]
    assert taken == [False, False, False]


@pytest.mark.parametrize("path", [*ASKED, "/ImagingStudy?nonsense=1", "/StructureDefinition?_count=1"])
def test_a_token_that_was_revoked_is_told_that_and_nothing_else(app: Flask, path: str) -> None:
    settle(app)
    trust = caller(app)
    assert trust.get(path).status_code in (200, 400)
    services, tokens = app.extensions["services"], app.extensions["tokens"]
    services.store.retry(lambda tx: tokens.revoke(tx, trust.token))
    answer = trust.get(path)
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == 'Bearer realm="imaging registry", error="invalid_token"'
    study = trust.post("/ImagingStudy", {"resourceType": "ImagingStudy", "status": "nonsense"})
    assert study.status_code == 401


def test_an_organisation_that_has_changed_counts_at_the_very_next_request(app: Flask) -> None:
    """A site whose episode it is joins another trust: the trust's next search already stands for it."""
    steward = settle(app)
    trust = caller(app, ods="RXC")
    assert trust.get(ASKED[1]).status_code == 403
    moved = organization("RXB", "RXC")
    assert steward.put("/Organization/rxb", moved).status_code == 200
    assert trust.ids(ASKED[1]) == ["s1"]
    assert steward.put("/Organization/rxb", organization("RXB")).status_code == 200
    assert trust.get(ASKED[1]).status_code == 403
