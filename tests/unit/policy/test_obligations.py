"""Which tasks and notices decisions oblige to, and when two are one (README.md, what becomes somebody's task)."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest

from app.policy.decide import decide, residual
from app.policy.directive import Directive
from app.policy.duty import DAY, Duty, broken_glass, comes_of_age, duties, duty
from app.policy.model import Decision, EmergencyGrant, Relationship, Request, Requester, Study
from app.policy.person import Person
from app.policy.provision import Provision
from app.policy.switches import Switches

AT = 1_773_136_800_000_000  # 2026-03-10T10:00:00Z
ORGS = frozenset({"ods:B"})
DOCTOR = Requester("ods:B", ORGS, "Practitioner/dr", "clinician", "app")
GRANT = EmergencyGrant("g1", 2, "Practitioner/dr", "ods:B", "Patient/p", AT, AT + 3_600_000_000)
CHOICE = Directive(
    "Consent/c", 3, "Patient/p", "active", True, (), None, True, False, None, None, Provision(False), True
)
PERSON = Person(frozenset({"Patient/p"}), directives=(CHOICE,), grants=(GRANT, replace(GRANT, ref="g2")))
GLASS = Request(DOCTOR, "BTG")


def due(
    *obligations: str, basis: tuple[str, ...] = (), at: int = AT, person: Person = PERSON, asked: Request = GLASS
) -> list[Duty]:
    return list(duties(asked, person, [Decision("PERMIT", ("X",), obligations, basis)], at))


def test_a_task_about_records_is_of_who_keeps_them_and_new_when_a_consent_has_another_version() -> None:
    for code in ("CONFLICT_TASK", "ALERT_DQ"):
        (one,) = due("AUDIT", code, code)
        assert (one.code, one.patient, one.basis, one.owner) == (code, "Patient/p", ("Consent/c",), None)
        assert due(code, at=AT + 9 * DAY)[0].id == one.id
        later = replace(PERSON, directives=(replace(CHOICE, version=4),))
        assert due(code, person=later)[0].id != one.id
        assert due(code, asked=replace(GLASS, requester=replace(DOCTOR, practitioner="Practitioner/x")))[0].id == one.id


def test_an_alert_about_a_requester_is_of_their_organisation_once_a_day_each() -> None:
    (one,) = due("ALERT_PRIVACY")
    assert (one.code, one.owner, one.basis) == ("ALERT_PRIVACY", "ods:B", ())
    midnight = AT // DAY * DAY + DAY
    assert due("ALERT_PRIVACY", at=midnight - 1)[0].id == one.id
    assert due("ALERT_PRIVACY", at=midnight)[0].id != one.id
    for other in (replace(DOCTOR, practitioner="Practitioner/x"), replace(DOCTOR, practitioner=None)):
        assert due("ALERT_PRIVACY", asked=replace(GLASS, requester=other))[0].id != one.id


def test_an_emergency_grant_that_was_used_is_reviewed_and_told_and_another_is_not() -> None:
    found = due("REVIEW_WORKLIST", "NOTIFY_PRIVACY_OFFICER", "NOTIFY_SOURCE_ORG", basis=("g1/_history/2",))
    assert tuple(found) == broken_glass(GRANT, PERSON.patients)
    assert [(one.code, one.owner, one.grant) for one in found] == [
        ("REVIEW_WORKLIST", "ods:B", "g1"),
        ("NOTIFY_PRIVACY_OFFICER", "ods:B", "g1"),
        ("NOTIFY_SOURCE_ORG", None, "g1"),
    ]
    assert due("REVIEW_WORKLIST", basis=("g1/_history/1",)) == []
    assert due("AUDIT", basis=("g1/_history/2",)) == []
    assert found[1].basis == (f"Task/{found[0].id}",)


def test_a_duty_without_records_is_about_nobody() -> None:
    assert duty("ALERT_DQ", (), (), None).patient is None


def test_what_is_decided_of_all_studies_says_who_may_be_known_of_and_what_is_reduced() -> None:
    care = Relationship("EpisodeOfCare/e", 1, "episode", "active", "Patient/p", ORGS)
    for role, grants, cared, related, reduced in (
        ("clinician", (GRANT,), (), True, False),
        ("clinician", (), (), False, False),
        ("clinician", (), (care,), True, False),
        ("clerical", (), (care,), True, True),
    ):
        purpose = "BTG" if grants else "TREAT"
        asked = Request(replace(DOCTOR, role=role), purpose)
        person = Person(frozenset({"Patient/p"}), relationships=cared, grants=grants)
        left = residual(asked, person, Switches(), AT)
        assert (left.related, left.redact) == (related, reduced)
        study = Study("ImagingStudy/s", "Patient/p")
        assert left.decision(study) == decide(asked, person, study, Switches(), AT)


def day(text: str) -> int:
    return (date.fromisoformat(text) - date(1970, 1, 1)).days * DAY


BY_PROXY = replace(CHOICE, own=False, issued=(day("2015-01-01"), day("2015-01-02")))


@pytest.mark.parametrize(
    ("one", "born", "at", "due"),
    [
        (BY_PROXY, "2010-06-15", day("2026-03-15"), True),
        (BY_PROXY, "2010-06-15", day("2026-03-15") - 1, False),
        (
            BY_PROXY,
            "2010-06-30",
            day("2026-03-28"),
            True,
        ),  # the thirtieth of a month of thirty-one, at its twenty-eighth
        (BY_PROXY, "2010-06-30", day("2026-03-28") - 1, False),
        (BY_PROXY, None, day("2030-01-01"), False),
        (CHOICE, "2010-06-15", day("2030-01-01"), False),
        (replace(BY_PROXY, status="inactive"), "2010-06-15", day("2030-01-01"), False),
        (replace(BY_PROXY, patient=None), "2010-06-15", day("2030-01-01"), False),
        (replace(BY_PROXY, issued=None), "2010-06-15", day("2026-03-15"), True),
        (replace(BY_PROXY, issued=(day("2026-06-15") - 1, day("2026-06-15"))), "2010-06-15", day("2030-01-01"), True),
        (replace(BY_PROXY, issued=(day("2026-06-15"), day("2026-06-16"))), "2010-06-15", day("2030-01-01"), False),
    ],
)
def test_a_choice_made_for_a_child_is_reviewed_three_months_before_they_are_sixteen(
    one: Directive, born: str | None, at: int, due: bool
) -> None:
    found = comes_of_age(one, None if born is None else day(born), 3, at)
    assert (found is not None) is due
    if found is not None:
        assert (found.code, found.patient, found.basis) == ("MINOR_REVIEW", "Patient/p", ("Consent/c",))
