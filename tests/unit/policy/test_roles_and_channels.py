"""What each role and channel gets, and the small questions that several rules ask (README.md, 4.3, 4.10, 4.12; P21, P24, P26)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from app.policy import redaction
from app.policy.consents import verdicts
from app.policy.decide import decide
from app.policy.emergency import presented
from app.policy.explain import explain
from app.policy.facts import Facts
from app.policy.model import EmergencyGrant, Relationship, Request, Requester, Study
from app.policy.organisation import components, has_cycle
from app.policy.person import Person
from app.policy.predicate import (
    FALSE,
    TRUE,
    UNKNOWN,
    And,
    AnyOf,
    Const,
    Definitely,
    Not,
    Origin,
    Possibly,
    Started,
    always,
    crisp,
)
from app.policy.provision import Asker, Provision, nested
from app.policy.relationship import standing
from app.policy.rules import locating_is_reading
from app.policy.switches import Switches, load
from tests.unit.policy.test_obligations import AT, CHOICE, ORGS

STUDY = Study("ImagingStudy/s", "Patient/p")
CARE = Relationship("EpisodeOfCare/e", 1, "episode", "active", "Patient/p", ORGS)
PERSON = Person(frozenset({"Patient/p"}), relationships=(CARE,))


def asked(role: str, action: str = "read", patient: str | None = None) -> Request:
    person = "Practitioner/dr" if role in ("clinician", "clerical", "privacy") else None
    return Request(Requester("ods:B", ORGS, person, role, "app", patient=patient), "TREAT", action)


@pytest.mark.parametrize(
    ("channel", "action", "patient", "effect", "reason"),
    [
        ("off", "read", "Patient/p", "DENY", "PATIENT_CHANNEL_NOT_ENABLED"),
        ("off", "locate", "Patient/p", "DENY", "PATIENT_CHANNEL_NOT_ENABLED"),
        ("metadata", "read", "Patient/p", "PERMIT", "PATIENT_SELF"),
        ("metadata", "locate", "Patient/p", "DENY", "PATIENT_CHANNEL_NOT_ENABLED"),
        ("endpoints", "read", "Patient/p", "PERMIT", "PATIENT_SELF"),
        ("endpoints", "locate", "Patient/p", "PERMIT", "PATIENT_SELF"),
        ("endpoints", "read", "Patient/q", "DENY", "PATIENT_NOT_SELF"),
        ("endpoints", "read", None, "DENY", "PATIENT_NOT_SELF"),
    ],
)
def test_a_patients_own_app_sees_what_the_region_opens_of_their_own(
    channel: str, action: str, patient: str | None, effect: str, reason: str
) -> None:
    switches = load(f'patient_channel = "{channel}"')
    found = decide(asked("patient", action, patient), PERSON, STUDY, switches, AT)
    assert (found.effect, found.reasons[0]) == (effect, reason)
    in_error = decide(
        asked("patient", action, patient), PERSON, replace(STUDY, status="entered-in-error"), switches, AT
    )
    assert in_error.effect == "DENY"


@pytest.mark.parametrize(
    ("role", "choices", "reads", "locates"),
    [
        ("clinician", "", "PERMIT", "PERMIT"),
        ("privacy", "", "PERMIT", "PERMIT"),
        ("system", "", "PERMIT", "PERMIT"),
        ("system", "system_may_locate = false", "PERMIT", "DENY"),
        ("clinician", "system_may_locate = false", "PERMIT", "PERMIT"),
        ("clerical", "", "REDACT", "DENY"),
        ("clerical", 'clerical = "deny"', "DENY", "DENY"),
        ("clinician", 'clerical = "deny"', "PERMIT", "PERMIT"),
    ],
)
def test_each_role_reads_and_locates_what_the_region_gives_it(
    role: str, choices: str, reads: str, locates: str
) -> None:
    switches = load(choices)
    effects = [decide(asked(role, action), PERSON, STUDY, switches, AT).effect for action in ("read", "locate")]
    assert effects == [reads, locates]
    assert locating_is_reading(role, switches) is (reads == locates and role != "clerical")


def test_a_patients_channel_is_never_taken_for_one_that_locates_what_it_reads() -> None:
    assert not locating_is_reading("patient", Switches())


def test_redaction_hides_what_it_does_not_show_of_studies_and_reports_and_nothing_of_other_types() -> None:
    hidden = [(kind, name) for kind in ("ImagingStudy", "DiagnosticReport", "Patient") for name in ("modality", "code", "status", "identifier") if redaction.hides(kind, name)]  # fmt: skip
    assert hidden == [
        ("ImagingStudy", "code"),
        ("ImagingStudy", "identifier"),
        ("DiagnosticReport", "modality"),
        ("DiagnosticReport", "identifier"),
    ]


def test_a_condition_is_always_true_only_as_the_constant_and_crisp_unless_it_can_be_unknown() -> None:
    assert [always(one) for one in (TRUE, FALSE, UNKNOWN, Const(True), Origin(ORGS))] == [
        True,
        False,
        False,
        True,
        False,
    ]
    unsure, sure = AnyOf("code", frozenset({"x"})), Origin(ORGS)
    assert [crisp(one) for one in (TRUE, FALSE, UNKNOWN, unsure, Started(1, 2), sure)] == [
        True,
        True,
        False,
        False,
        False,
        True,
    ]
    assert [crisp(one) for one in (Not(unsure), Not(sure), And((sure, unsure)), And((sure, TRUE)))] == [
        False,
        True,
        False,
        True,
    ]
    assert crisp(Possibly(unsure)) and crisp(Definitely(unsure))


def test_a_provision_of_its_parents_own_type_overrides_nothing() -> None:
    asker = Asker(frozenset({"ods:B"}), "clinician", frozenset({"TREAT"}), AT)
    for permit in (True, False):
        alike = nested(Provision(permit, children=(Provision(permit),)), asker)
        other = nested(Provision(permit, children=(Provision(not permit),)), asker)
        assert (alike.overridden, other.overridden) == (FALSE, TRUE)
    same = replace(CHOICE, root=Provision(True, children=(Provision(True),)))
    assert [one.reason for one in verdicts(same, asker, Switches())] == ["CONSENT_BASE_PERMIT"]


@pytest.mark.parametrize(
    ("organisation", "tree", "orgs"),
    [
        ("ods:B", {"ods:B", "ods:B1"}, {"ods:B", "ods:B1"}),
        ("ods:B", set(), {"ods:B"}),
        ("ods:B", {"ods:B1"}, {"ods:B", "ods:B1"}),
        (None, set(), set()),
    ],
)
def test_a_requester_is_always_of_their_own_organisation(
    organisation: str | None, tree: set[str], orgs: set[str]
) -> None:
    asker = Requester(organisation, frozenset(tree), role="system")
    assert Facts(Request(asker, "TREAT"), PERSON, Switches(), AT).orgs == orgs


def test_links_in_a_circle_are_seen_wherever_one_begins_and_others_are_none() -> None:
    assert has_cycle({1: {2}, 2: {3}, 3: {1}})
    assert has_cycle({5: {1}, 1: {2}, 2: {1}})
    assert has_cycle({1: {1}})
    # Two ways to one record are no circle, though it is come to twice.
    assert not has_cycle({1: {2, 3}, 2: {4}, 3: {4}, 4: set()})
    assert not has_cycle({3: {4}, 2: {3, 4}, 1: {2, 3, 4}, 4: {5}, 5: set()})
    assert components({1: {2}, 3: set()}) == [{1, 2}, {3}]


def test_the_grant_that_a_request_names_is_the_one_that_it_relies_on() -> None:
    first = EmergencyGrant("g1", 1, "Practitioner/dr", "ods:B", "Patient/p", AT, AT + 1)
    both = (first, replace(first, ref="g2"))
    person = replace(PERSON, grants=both)
    assert presented(asked("clinician"), person) == list(both)
    assert presented(replace(asked("clinician"), grant="g2"), person) == [both[1]]
    assert presented(replace(asked("clinician"), grant="g3"), person) == []


def test_the_consents_on_file_are_told_at_the_rule_that_reads_them_and_nowhere_else() -> None:
    person = replace(PERSON, directives=(CHOICE,))
    steps = explain(asked("clinician"), person, STUDY, Switches(), AT)
    assert [step.rule for step in steps if step.notes] == ["consents_can_be_read"]
    assert steps[8].notes == ("Consent/c/_history/3: in force",)


def test_of_two_relationships_that_are_the_same_either_stands_for_both() -> None:
    found = standing([CARE, CARE], ORGS, {}, Switches(), AT)
    assert found is not None and found.relationship is CARE
