"""Who counts as whom: organisation trees with successors, teams and groups, and until when (README.md, 4.7, 4.9, 4.13)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from app.policy.decide import Person, decide
from app.policy.directive import compile_consent
from app.policy.model import Decision, Relationship, Request, Requester, Study
from app.policy.organisation import Entry, ancestors, tree
from app.policy.switches import Switches, load
from tests.cases.gather import ZONE, Register
from tests.support.region import consent, episode, organization, patient, study

SECOND = 1_000_000
AT = 1_773_136_800_000_000  # 2026-03-10T10:00:00Z
ICB = frozenset({"RO261"})
REGION = [
    Entry("ods:QIB", kinds=ICB),
    Entry("ods:B", "ods:QIB"),
    Entry("ods:B1", "ods:B"),
    Entry("ods:B2", "ods:B"),
    Entry("ods:OLD", "ods:QIB", successor="ods:B"),
    Entry("ods:OLD1", "ods:OLD", successor="ods:B1"),
    Entry("ods:C", "ods:QIB"),
]


@pytest.mark.parametrize(
    ("key", "counts"),
    [
        ("ods:B", {"ods:B", "ods:B1", "ods:B2", "ods:OLD", "ods:OLD1"}),
        ("ods:B1", {"ods:B1", "ods:B", "ods:OLD1"}),
        ("ods:B2", {"ods:B2", "ods:B"}),
        ("ods:C", {"ods:C"}),
        ("ods:QIB", {"ods:QIB"}),
        ("ods:NEW", {"ods:NEW"}),
    ],
)
def test_a_site_and_its_trust_count_as_each_other_with_what_they_succeed_and_nobody_else(
    key: str, counts: set[str]
) -> None:
    assert tree(REGION, key) == counts


def test_a_choice_that_names_the_former_trust_still_means_the_one_that_took_it_over() -> None:
    assert ancestors(REGION, "ods:B") == {"ods:OLD"}
    assert ancestors(REGION, "ods:B1") == {"ods:B", "ods:OLD", "ods:OLD1"}
    held = Register([organization("RXA"), organization("RXB"), patient(), episode(), study()])
    refused = consent() | {
        "provision": {"type": "permit", "provision": [{"type": "deny", "actor": [actor("identifier:RXO")]}]}
    }
    assert decided(held, refused, ancestors=frozenset({"ods:RXO"})).reasons[0] == "CONSENT_EXCEPTION_DENY"
    assert decided(held, refused).permitted


def test_organisations_in_a_circle_end() -> None:
    around = [Entry("ods:X", "ods:Y", successor="ods:Y"), Entry("ods:Y", "ods:X", successor="ods:X")]
    assert tree(around, "ods:X") == {"ods:X", "ods:Y"}
    assert ancestors(around, "ods:X") == {"ods:Y"}


def actor(name: str) -> dict[str, Any]:
    if name.startswith("identifier:"):
        system = "https://fhir.nhs.uk/Id/ods-organization-code"
        return {"reference": {"identifier": {"system": system, "value": name.removeprefix("identifier:")}}}
    return {"reference": {"reference": name}}


def decided(held: Register, choice: dict[str, Any] | None, **more: Any) -> Decision:
    asker = Requester("ods:RXB", frozenset({"ods:RXB"}), "Practitioner/dr", "clinician", "app", **more)
    person = held.person("Patient/p1")
    if choice is not None:
        person = replace(person, directives=(compile_consent(choice, held.resolve, ZONE),))
    return decide(Request(asker, "TREAT"), person, held.study("ImagingStudy/s1"), Switches(), AT)


@pytest.mark.parametrize("type_name", ["Group", "CareTeam"])
def test_a_choice_may_name_a_team_or_group_of_which_the_requester_is_one(type_name: str) -> None:
    named = {"resourceType": type_name, "id": "g", "type": "practitioner", "actual": True}
    held = Register([organization("RXA"), organization("RXB"), patient(), episode(), study(), named])
    refused = consent() | {
        "provision": {"type": "permit", "provision": [{"type": "deny", "actor": [actor(f"{type_name}/g")]}]}
    }
    inside = frozenset({f"{type_name}/g"})
    assert decided(held, refused, groups=inside).reasons[0] == "CONSENT_EXCEPTION_DENY"
    assert decided(held, refused).permitted


def post(ods: str | None, **more: Any) -> dict[str, Any]:
    at = {"organization": {"reference": f"Organization/{ods.lower()}"}} if ods else {}
    return {"resourceType": "PractitionerRole", "id": "r", "practitioner": {"reference": "Practitioner/dr"}} | at | more


DUTY = "http://terminology.hl7.org/CodeSystem/practitioner-role"
JOBS = "https://fhir.example/CodeSystem/jobs"
MAPPED = Switches(duties={f"{JOBS}|R0260": "clinician", f"{JOBS}|R0270": "clerical"})


def duties(*codes: str) -> list[dict[str, Any]]:
    return [{"coding": [{"system": DUTY, "code": code}]} for code in codes]


UNTOLD = {"identifier": {"system": "urn:other", "value": "1"}}


@pytest.mark.parametrize(
    ("role", "refused", "permitted"),
    [
        (post("RXB"), True, True),
        (post(None), True, True),
        (post("RXC"), False, False),
        (post("RXB01"), True, False),  # the doctor, by a token of the trust: nobody can say at which site
        (post("RXB", active=False), True, False),
        (post("RXB", period={"end": "2026-03-09"}), True, False),
        (post("RXB", period={"end": "2026-03-10"}), True, True),
        (post("RXB", period={"start": "2026-03-11"}), True, False),
        (post("RXB", period={"start": "soon"}), True, False),
        (post(None, organization=UNTOLD), True, False),
        (post("RXB", practitioner={"reference": "Practitioner/other"}), False, False),
        (post("RXB", code=duties("clinician")), True, True),
        (post("RXB", code=duties("doctor")), True, True),
        (post("RXB", code=duties("clerical", "doctor")), True, True),
        (post("RXB", code=duties("clerical")), False, False),  # the same doctor at the desk is not who was named
        (post("RXC", code=duties("doctor")), False, False),
        (post("RXB", code=duties("clerical"), active=False), False, False),
        (post("RXB", code=duties("researcher")), True, False),  # nobody said which role that is
        (post("RXB", code=duties("clerical", "researcher")), True, False),
        (post("RXB", code=[{"text": "Consultant"}]), True, False),
        (post("RXB", code=[{"coding": [{"system": JOBS, "code": "R0260"}]}]), True, True),
        (post("RXB", code=[{"coding": [{"system": JOBS, "code": "R0270"}]}]), False, False),
        (post("RXB", code=[{"coding": [{"system": JOBS, "code": "R9999"}]}]), True, False),
    ],
)
def test_a_choice_that_names_a_role_means_that_person_at_that_organisation_and_nowhere_else(
    role: dict[str, Any], refused: bool, permitted: bool
) -> None:
    trusts = [organization("RXA"), organization("RXB"), organization("RXB01", "RXB"), organization("RXC")]
    held = Register([*trusts, patient(), episode(), study(), role])
    for outer, inner, expected in (("permit", "deny", refused), ("deny", "permit", permitted)):
        nested = {"type": inner, "actor": [actor("PractitionerRole/r")]}
        choice = consent() | {"provision": {"type": outer, "provision": [nested]}}
        tree = frozenset({"ods:RXB", "ods:RXB01"})
        asker = Requester("ods:RXB", tree, "Practitioner/dr", "clinician", "app")
        person = replace(held.person("Patient/p1"), directives=(compile_consent(choice, held.resolve, ZONE),))
        found = decide(Request(asker, "TREAT"), person, held.study("ImagingStudy/s1"), MAPPED, AT)
        assert found.permitted is (not expected if inner == "deny" else expected), (outer, found.reasons)


def test_a_role_that_is_not_on_file_is_somebody_who_cannot_be_told() -> None:
    held = Register([organization("RXA"), organization("RXB"), patient(), episode(), study()])
    nested = {"type": "deny", "actor": [actor("PractitionerRole/none")]}
    assert not decided(held, consent() | {"provision": {"type": "permit", "provision": [nested]}}).permitted


def test_a_permit_ends_when_the_post_of_somebody_named_begins() -> None:
    starts = post("RXB", practitioner={"reference": "Practitioner/dr"}, period={"start": "2026-03-10T10:05:00Z"})
    held = Register([organization("RXA"), organization("RXB"), patient(), episode(), study(), starts])
    choice = consent() | {
        "provision": {"type": "permit", "provision": [{"type": "permit", "actor": [actor("PractitionerRole/r")]}]}
    }
    assert decided(held, choice).expires == AT + 300 * SECOND


def test_a_permit_ends_when_the_requesters_groups_change() -> None:
    held = Register([organization("RXA"), organization("RXB"), patient(), episode(), study()])
    assert decided(held, None, groups_until=AT + 60 * SECOND).expires == AT + 60 * SECOND


def test_an_episode_on_hold_is_open_to_a_team_member_for_as_long_as_they_are_one() -> None:
    orgs = frozenset({"ods:RXB"})
    held = Relationship("EpisodeOfCare/e", 1, "episode", "onhold", "Patient/p1", orgs, frozenset({"CareTeam/t"}))
    member = frozenset({"Practitioner/dr"})
    team = Relationship("CareTeam/t", 1, "careteam", "active", "Patient/p1", frozenset(), member, end=AT + 300 * SECOND)
    person = Person(frozenset({"Patient/p1"}), relationships=(held, team))
    asker = Requester("ods:RXB", orgs, "Practitioner/dr", "clinician")
    given = decide(Request(asker, "TREAT"), person, Study("ImagingStudy/s", "Patient/p1"), Switches(), AT)
    assert (given.reasons[0], given.expires) == ("EPISODE_ONHOLD_TEAM", AT + 300 * SECOND)


def test_someone_whose_whereabouts_are_protected_is_answered_for_like_someone_unknown() -> None:
    from app.policy.decide import residual

    orgs = frozenset({"ods:RXB"})
    here = Relationship("EpisodeOfCare/e", 1, "episode", "active", "Patient/p1", orgs)
    asker = Requester("ods:RXB", orgs, "Practitioner/dr", "clinician")
    for restricted in (False, True):
        person = Person(frozenset({"Patient/p1"}), relationships=(here,), restricted=restricted)
        left = residual(Request(asker, "TREAT"), person, Switches(), AT)
        assert left.related is not restricted


@pytest.mark.parametrize(
    ("provision", "refuses"),
    [
        ({"type": "deny"}, True),
        ({"type": "permit", "provision": [{"type": "deny", "actor": [actor("Organization/rxb")]}]}, True),
        ({"type": "permit"}, False),
        ({"type": "maybe"}, False),
    ],
)
def test_a_refusal_not_yet_confirmed_acts_where_the_region_holds_it(provision: dict[str, Any], refuses: bool) -> None:
    held = Register([organization("RXA"), organization("RXB"), patient(), episode(), study()])
    proposed = consent(status="proposed") | {"provision": provision}
    asker = Requester("ods:RXB", frozenset({"ods:RXB"}), "Practitioner/dr", "clinician", "app")
    person = replace(held.person("Patient/p1"), directives=(compile_consent(proposed, held.resolve, ZONE),))
    judged = held.study("ImagingStudy/s1")
    assert decide(Request(asker, "TREAT"), person, judged, Switches(), AT).permitted
    waiting = load('proposed_optout = "hold"')
    assert decide(Request(asker, "TREAT"), person, judged, waiting, AT).permitted is not refuses
