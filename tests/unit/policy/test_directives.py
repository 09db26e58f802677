"""What a Consent is compiled to, and the mark it gets for each thing that cannot be understood (README.md, 4.5 to 4.8)."""

from __future__ import annotations

from typing import Any

import pytest

from app.policy.directive import DEEPEST, MOST, Directive, compile_consent
from app.policy.provision import Provision
from tests.support.region import consent

ZONE = "Europe/London"
PRIVACY = {"coding": [{"code": "patient-privacy"}]}
KNOWN = {"Patient/p1": "Patient/p1", "Patient/p2": "Patient/p2", "identifier:urn:n|7": "Patient/p1"}


def compiled(**elements: Any) -> Directive:
    stated = {
        "resourceType": "Consent",
        "id": "c",
        "status": "active",
        "scope": PRIVACY,
        "patient": {"reference": "Patient/p1"},
        "provision": {"type": "deny"},
    } | elements
    return compile_consent({name: one for name, one in stated.items() if one is not None}, KNOWN.get, ZONE)


def deep(levels: int) -> dict[str, Any]:
    return {"type": "deny"} | ({"provision": [deep(levels - 1)]} if levels > 1 else {})


def rule(code: str) -> dict[str, Any]:
    return {"coding": [{"code": code}]}


@pytest.mark.parametrize(
    ("elements", "faults"),
    [
        ({}, ()),
        ({"modifierExtension": []}, ("MODIFIER",)),
        ({"implicitRules": "urn:x"}, ("MODIFIER",)),
        ({"_implicitRules": {}}, ("MODIFIER",)),
        ({"verification": [{"modifierExtension": []}]}, ("MODIFIER",)),
        ({"text": {"modifierExtension": []}, "contained": [{"modifierExtension": []}]}, ()),
        ({"status": "running"}, ("STATUS",)),
        ({"scope": None}, ("SCOPE",)),
        ({"provision": []}, ("PROVISION", "NO_BASE")),
        ({"provision": {"type": "deny", "period": {}}}, ("PERIOD",)),
        ({"provision": None}, ("NO_BASE",)),
        ({"provision": None, "policyRule": rule("OPTOUT")}, ()),
        ({"provision": None, "policyRule": rule("else")}, ("NO_BASE",)),
        ({"provision": {"type": "perhaps"}}, ("BAD_TYPE",)),
        ({"provision": {"type": "permit"}}, ()),
        ({"provision": {"type": "deny", "provision": []}}, ("PROVISION",)),
        ({"provision": {"type": "deny", "provision": [{}]}}, ("NESTED_TYPE",)),
        ({"provision": deep(DEEPEST)}, ()),
        ({"provision": deep(DEEPEST + 1)}, ("DEPTH",)),
        ({"provision": {"type": "deny", "provision": [{"type": "permit"}] * (MOST - 1)}}, ()),
        ({"provision": {"type": "deny", "provision": [{"type": "permit"}] * MOST}}, ("TOO_MANY",)),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_cannot_be_understood_leaves_a_mark_and_never_vanishes(
    elements: dict[str, Any], faults: tuple[str, ...]
) -> None:
    assert compiled(**elements).faults == faults


@pytest.mark.parametrize(
    ("code", "permits", "children"), [("OPTIN", True, 0), ("OPTOUT", False, 0), ("EMRGONLY", False, 1)]
)
def test_the_base_is_the_roots_type_and_without_one_the_policy_rule(code: str, permits: bool, children: int) -> None:
    one = compiled(provision=None, policyRule=rule(code))
    assert (one.root.permit, len(one.root.children)) == (permits, children)
    assert compiled(provision={"type": "permit"}, policyRule=rule(code)).root == Provision(True)


def test_a_choice_without_criteria_is_told_from_one_with_some() -> None:
    assert compiled().unfiltered
    assert not compiled(provision={"type": "permit", "purpose": [{"code": "TREAT"}]}).unfiltered
    assert not compiled(provision={"type": "permit", "unheardOf": 1}).unfiltered


@pytest.mark.parametrize(
    ("reference", "doubts"),
    [
        ("Practitioner/nobody", ()),
        ("https://elsewhere.example/Practitioner/1", ("ACTOR_ELSEWHERE",)),
        ("urn:uuid:2c5f0b1e-0f3c-4a4e-9a8e-7a9f6a2d3c11", ("ACTOR_ELSEWHERE",)),
        ("#team", ("ACTOR_ELSEWHERE",)),
    ],
)
def test_somebody_who_can_never_be_kept_here_is_a_doubt(reference: str, doubts: tuple[str, ...]) -> None:
    role = {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v3-ParticipationType", "code": "IRCP"}]}
    one = compiled(provision={"type": "deny", "actor": [{"role": role, "reference": {"reference": reference}}]})
    assert (one.faults, one.doubts) == ((), doubts)
    assert Directive.from_json(one.as_json()) == one


def test_the_period_of_the_root_is_that_of_the_choice_and_each_start_and_end_a_moment() -> None:
    inner = {"type": "permit", "period": {"start": "2026-03-02"}}
    one = compiled(provision={"type": "deny", "period": {"end": "2026-03-09"}, "provision": [inner]})
    assert (one.root.low, one.root.high, one.low) == (None, None, None)
    assert one.moments == (one.root.children[0].low, one.high)
    assert None not in one.moments
    assert compiled().moments == ()


@pytest.mark.parametrize(
    ("elements", "own"),
    [
        ({}, True),
        ({"performer": [{"reference": "Patient/p1"}]}, True),
        ({"performer": [{"identifier": {"system": "urn:n", "value": "7"}}]}, True),
        ({"performer": [{"reference": "Patient/p2"}]}, False),
        ({"performer": []}, False),
        ({"patient": None, "performer": [{"reference": "Device/1"}]}, False),
    ],
)
def test_a_choice_is_the_patients_own_where_the_patient_is_among_those_who_made_it(
    elements: dict[str, Any], own: bool
) -> None:
    assert compiled(**elements).own is own


def test_what_concerns_is_verified_and_is_kept_is_read_as_stated() -> None:
    assert compiled().concerns
    assert compiled(scope=None).concerns
    assert not compiled(scope=rule("research")).concerns
    assert compiled(verification=[{"verified": True}]).verified
    for unproved in ([{"verified": True}, {"verified": False}], [], [{}]):
        assert not compiled(verification=unproved).verified
    one = compile_consent(consent(), KNOWN.get, ZONE)
    assert Directive.from_json(one.as_json()) == one
    assert Directive.from_json(one.as_json(), "Consent/row", 7).version == 7
    assert Directive.from_json(one.as_json() | {"format": 99}).faults == ("FORMAT",)
