"""The first and the last instant of every window, and what is said just outside it (README.md, 4.1, 4.7 to 4.10)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from app.policy import consents
from app.policy.decide import decide
from app.policy.directive import Directive
from app.policy.emergency import valid
from app.policy.model import EmergencyGrant, Relationship, Request, Requester, Study
from app.policy.person import Person
from app.policy.predicate import FALSE, TRUE, UNKNOWN, AnyOf, Const, Started, evaluate
from app.policy.provision import UNRESOLVED, Actor, Asker, Post, Provision
from app.policy.relationship import DAY, HOUR, misses, standing
from app.policy.switches import Switches, load

AT = 1_773_136_800_000_000  # 2026-03-10T10:00:00Z
ORGS = frozenset({"ods:B"})
DOCTOR = "Practitioner/dr"
PATIENTS = frozenset({"Patient/p"})
STUDY = Study("ImagingStudy/s", "Patient/p")
REGION = load('finished_grace_days = 2\nwaitlist_counts = true\nonhold_counts = "team"')


def related(kind: str, status: str, start: int | None = None, end: int | None = None, **more: Any) -> Relationship:
    members = frozenset({DOCTOR}) if kind == "careteam" or status == "onhold" else frozenset[str]()
    orgs = frozenset[str]() if kind == "careteam" else ORGS
    made = Relationship("X/1", 1, kind, status, "Patient/p", orgs, members, start, end)
    return replace(made, **more)


# Each with the first instant at which it holds, and the first at which it holds no longer.
WINDOWS = [
    ("EPISODE_ACTIVE", related("episode", "active", AT, AT + HOUR), AT, AT + HOUR),
    ("EPISODE_ACTIVE", related("episode", "active"), None, None),
    ("EPISODE_PLANNED", related("episode", "planned", AT), AT - 14 * DAY, AT + 7 * DAY),
    ("EPISODE_PLANNED", related("episode", "planned", AT, AT + DAY), AT - 14 * DAY, AT + DAY),
    ("EPISODE_PLANNED", related("episode", "planned", AT, AT + 9 * DAY), AT - 14 * DAY, AT + 7 * DAY),
    ("APPOINTMENT_BOOKED", related("appointment", "booked", AT, AT + HOUR), AT - 14 * DAY, AT + 7 * DAY),
    ("EPISODE_WAITLIST", related("episode", "waitlist", AT, AT + HOUR), None, AT + HOUR),
    ("EPISODE_ONHOLD_TEAM", related("episode", "onhold", AT, AT + HOUR), AT, AT + HOUR),
    ("EPISODE_FINISHED_GRACE", related("episode", "finished", AT, AT + HOUR), AT, AT + HOUR + 2 * DAY),
    ("CARETEAM_MDT", related("careteam", "active", AT, AT + HOUR), AT, AT + HOUR),
    ("REFERRAL_EMERGENCY", related("referral", "active/stat", AT), AT, AT + 72 * HOUR),
]


@pytest.mark.parametrize(("reason", "one", "first", "after"), WINDOWS, ids=lambda value: str(value)[:24])
def test_a_relationship_holds_from_its_first_instant_until_its_end(
    reason: str, one: Relationship, first: int | None, after: int | None
) -> None:
    def found(at: int) -> tuple[str, int | None] | None:
        best = standing([one], ORGS, {DOCTOR: None}, REGION, at)
        return None if best is None else (best.reason, best.until)

    holds = (reason, after)
    assert found(AT if first is None else first) == holds
    assert found(AT - 99 * DAY if first is None else first - 1) == (holds if first is None else None)
    assert found(AT + 99 * DAY if after is None else after - 1) == holds
    if after is not None:
        assert found(after) is None
    elsewhere = replace(one, orgs=frozenset({"ods:C"}))
    assert standing([elsewhere], ORGS, {DOCTOR: None}, REGION, AT if first is None else first) is None


@pytest.mark.parametrize(
    ("choices", "one"),
    [
        ("", related("episode", "finished", None, AT)),
        ("", related("episode", "finished", None, AT + HOUR)),
        ('onhold_counts = "never"', related("episode", "onhold")),
        ("waitlist_counts = false", related("episode", "waitlist")),
        ('referral_priorities = ["stat"]', related("referral", "active/asap", AT)),
        ("", related("episode", "planned")),
        ("", related("careteam", "active", members=frozenset({"Practitioner/x"}))),
    ],
)
def test_what_the_region_does_not_count_is_no_relationship(choices: str, one: Relationship) -> None:
    assert standing([one], ORGS, {DOCTOR: None}, load(choices), AT) is None


def test_of_several_relationships_the_best_rule_decides_then_the_longest_then_the_name() -> None:
    long, short = related("episode", "active"), related("episode", "active", None, AT + HOUR)
    later, booked = replace(short, end=AT + DAY), related("appointment", "booked", AT)
    for best, *others in ([long, short], [short, booked], [later, short], [short, replace(short, source="X/2")]):
        for order in ([best, *others], [*others, best]):
            found = standing(order, ORGS, {}, REGION, AT)
            assert found is not None
            assert found.relationship == best
    assert standing([replace(short, version=2), short], ORGS, {}, REGION, AT).relationship.version == 2  # type: ignore[union-attr]


def test_a_relationship_through_teams_lasts_as_long_as_the_last_of_them() -> None:
    members = frozenset({"CareTeam/a", "CareTeam/b", "CareTeam/c"})
    one = related("episode", "onhold", members=members)
    for names, until in (
        ({"CareTeam/a": AT + HOUR, "CareTeam/b": AT + DAY}, AT + DAY),
        ({"CareTeam/a": AT + HOUR, "CareTeam/b": None}, None),
    ):
        found = standing([one], ORGS, names, REGION, AT)
        assert found is not None
        assert found.until == until


@pytest.mark.parametrize(
    ("one", "at", "reason"),
    [
        (related("careteam", "inactive"), AT, "CARETEAM_NOT_CURRENT"),
        (related("referral", "draft/stat"), AT, "REFERRAL_DRAFT"),
        (related("referral", "active/stat", AT - 99 * DAY), AT, "REFERRAL_WINDOW_CLOSED"),
        (related("referral", "active/routine", AT), AT, "REFERRAL_ROUTINE"),
        (related("appointment", "booked", AT - 99 * DAY), AT, "APPOINTMENT_OUT_OF_WINDOW"),
        (related("appointment", "noshow", AT), AT, "APPOINTMENT_NOSHOW"),
        (related("episode", "planned"), AT, "EPISODE_PLANNED_NO_START"),
        (related("episode", "planned", AT), AT - 14 * DAY - 1, "EPISODE_TOO_EARLY"),
        (related("episode", "planned", AT, AT - 15 * DAY), AT - 14 * DAY, "EPISODE_PLANNED_STALE"),
        (related("episode", "active", None, AT), AT, "EPISODE_OUT_OF_PERIOD"),
        (related("episode", "finished/undated"), AT, "EPISODE_FINISHED"),
    ],
)
def test_a_relationship_that_does_not_hold_says_why(one: Relationship, at: int, reason: str) -> None:
    assert misses([one], ORGS, {DOCTOR: None}, REGION, at) == (reason,)
    stranger = replace(one, orgs=frozenset({"ods:C"}), members=frozenset())
    assert misses([stranger], ORGS, {DOCTOR: None}, REGION, at) == ()


# Consents -----------------------------------------------------------------------------------------------------------

ASKER = Asker(frozenset({"ods:B"}), "clinician", frozenset({"TREAT"}), AT, frozenset({"ods:B", "ods:B1"}))


def choice(permit: bool, **more: Any) -> Directive:
    root = more.pop("root", Provision(permit))
    made = Directive(
        "Consent/c", 1, "Patient/p", "active", True, (), (AT - DAY, AT - DAY + 1), True, False, None, None, root, True
    )
    return replace(made, **more)


@pytest.mark.parametrize(
    ("low", "high", "acts"),
    [
        (None, None, True), (AT, None, True), (AT + 1, None, False), (None, AT + 1, True), (None, AT, False)
    ],
)  # fmt: skip
def test_a_choice_and_a_provision_act_from_their_first_instant_until_their_end(
    low: int | None, high: int | None, acts: bool
) -> None:
    one = choice(False, low=low, high=high)
    assert consents.effective([one], Switches(), AT) == ([one] if acts else [])
    assert Provision(False, low, high).applies(ASKER) == (TRUE if acts else FALSE)
    stated = [moment for moment in (low, high) if moment is not None]
    assert list(Provision(False, low, high).moments()) == stated
    assert list(Provision(False, actors=(Actor("x"), Actor("y", post=Post(None, low, high)))).moments()) == stated


def test_a_newer_choice_replaces_only_one_that_was_over_when_it_was_made() -> None:
    newer = choice(True, source="Consent/n")
    (made, _), refused = newer.issued or (0, 0), choice(False)
    for issued, left in (((made - 9, made), 1), ((made - 9, made + 1), 2)):
        assert len(consents.in_force([newer, replace(refused, issued=issued)], Switches())) == left
    for kept in (
        replace(refused, issued=None),
        replace(refused, issued=(0, 1), faults=("SCOPE",)),
        replace(refused, issued=(0, 1), patient="Patient/old"),
        replace(refused, issued=(0, 1), domain=("?",)),
    ):
        assert kept in consents.in_force([newer, kept], Switches())
    unread = choice(True, source="Consent/n", domain=("?",))
    assert len(consents.in_force([unread, choice(False, issued=(0, 1), domain=("?",))], Switches())) == 2
    assert consents.in_force([newer, choice(True, issued=None)], Switches()) == [newer]


@pytest.mark.parametrize(
    ("one", "says"),
    [
        (choice(True), "in force"),
        (choice(True, status="inactive"), "not in force: its status is inactive"),
        (choice(True, concerns=False), "not in force: its scope is not the sharing of records"),
        (choice(True, domain=("urn:theirs",)), "not in force: it was made under a policy that is not this region's"),
        (choice(True, high=AT), "not in force: outside its period"),
        (choice(True, own=False), "not in force: a permission by somebody whose authority is not verified"),
        (choice(True, faults=("SCOPE",)), "in force, and cannot be understood: SCOPE"),
        (choice(True, issued=(0, 1)), "not in force: a newer choice replaces it"),
        (choice(False, status="proposed"), "in force"),
        (choice(True, status="proposed"), "not in force: its status is proposed"),
    ],
)
def test_the_state_of_a_choice_is_told_in_words(one: Directive, says: str) -> None:
    switches = load('proposed_optout = "hold"\ndomains = ["urn:ours"]')
    now = consents.effective([one, choice(True, source="Consent/n")], switches, AT)
    assert consents.state(one, now, switches, AT) == says


def test_the_choices_of_a_person_are_taken_once_with_the_instant_at_which_the_next_changes() -> None:
    ours, other, nobodys = choice(False), choice(False, patient="Patient/q"), choice(False, patient=None)
    assert consents.of_person([ours, ours, other], PATIENTS) == [ours]
    assert set(consents.of_person([ours, nobodys, other], PATIENTS)) == {ours, nobodys}
    found = consents.choices([choice(False, moments=(AT - 1, AT, AT + 1, AT + 2))], PATIENTS, ASKER, Switches())
    assert (found.on_file, found.conflict, found.until) == (True, False, AT + 1)
    assert consents.choices([ours, nobodys], PATIENTS, ASKER, Switches()).conflict


def test_a_proxys_permission_counts_when_verified_and_only_where_the_region_says_so() -> None:
    one = choice(True, own=False, verified=True)
    for text in ('permissive_proxy = "verified"', 'permissive_proxy = "never"'):
        assert consents.effective([one], load(text), AT) == ([one] if "verified" in text else [])


@pytest.mark.parametrize(
    ("actor", "matches"),
    [
        (Actor("ods:B"), True),
        (Actor("ods:C"), False),
        (Actor(None, frozenset({"clinician"})), True),
        (Actor(None, frozenset({"clerical"})), False),
        (Actor(UNRESOLVED), None),
        (Actor(UNRESOLVED, frozenset({"clerical"})), False),
        (Actor("ods:B", post=Post(None)), True),
        (Actor("ods:B", post=Post("ods:B", AT, AT + 1)), True),
        (Actor("ods:B", post=Post("ods:B", AT + 1)), None),
        (Actor("ods:B", post=Post("ods:B", None, AT)), None),
        (Actor("ods:B", post=Post("ods:B", active=False)), None),
        (Actor("ods:B", post=Post("ods:B1")), None),
        (Actor("ods:B", post=Post("ods:C")), False),
        (Actor("ods:C", post=Post("ods:B")), False),
    ],
)
def test_a_provision_matches_its_actors_in_three_values(actor: Actor, matches: bool | None) -> None:
    one = Provision(True, actors=(actor,))
    assert one.applies(ASKER) == Const(matches)
    assert Provision(True, actors=(Actor("ods:C"), actor)).applies(ASKER) == Const(matches)
    assert Provision(True, actors=()).applies(ASKER) == FALSE


@pytest.mark.parametrize(
    "one",
    [
        Provision(True),
        Provision(False, AT),
        Provision(False, None, AT),
        Provision(True, actors=(Actor("ods:B", frozenset({"clinician"})),)),
        Provision(True, actors=(Actor("Practitioner/dr", post=Post("ods:B", AT, None, False)), Actor("ods:C"))),
        Provision(True, purposes=frozenset({"TREAT"})),
        Provision(True, study=AnyOf("code", frozenset({"|x"})), children=(Provision(False),)),
    ],
)
def test_a_provision_is_kept_whole_and_says_only_what_it_has(one: Provision) -> None:
    assert Provision.from_json(one.as_json()) == one
    held = {"period": one.low or one.high, "actors": one.actors, "purposes": one.purposes, "children": one.children}
    said = {name for name, value in held.items() if value} | ({"study"} if one.study != TRUE else set())
    assert set(one.as_json()) == {"permit"} | said


def test_a_purpose_that_was_not_named_is_not_meant() -> None:
    assert Provision(True, purposes=frozenset({"ETREAT"})).applies(ASKER) == FALSE
    assert Provision(True, purposes=frozenset({"TREAT"})).applies(ASKER) == TRUE


# Studies, grants, credentials ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("low", "high", "overlaps"),
    [
        (None, 11, True), (None, 10, False), (19, None, True), (20, None, False), (None, None, True), (12, 13, True)
    ],
)  # fmt: skip
def test_a_study_falls_in_a_period_that_its_own_interval_overlaps(
    low: int | None, high: int | None, overlaps: bool
) -> None:
    assert evaluate(Started(low, high), replace(STUDY, started=(10, 20))) is overlaps
    assert evaluate(Started(low, high), STUDY) is None
    assert evaluate(UNKNOWN, STUDY) is None


GRANT = EmergencyGrant("g", 1, DOCTOR, "ods:B", "Patient/p", AT, AT + HOUR)
ASKED = Request(Requester("ods:B", ORGS, DOCTOR, "clinician"), "BTG")


@pytest.mark.attack(57)
@pytest.mark.parametrize(
    ("grant", "at", "good"),
    [
        (GRANT, AT, True),
        (GRANT, AT - 1, False),
        (GRANT, AT + HOUR - 1, True),
        (GRANT, AT + HOUR, False),
        (replace(GRANT, end=AT + 9 * DAY), AT + 24 * HOUR - 1, True),
        (replace(GRANT, end=AT + 9 * DAY), AT + 24 * HOUR, False),
        (replace(GRANT, practitioner="Practitioner/x"), AT, False),
        (replace(GRANT, organisation="ods:C"), AT, False),
        (replace(GRANT, patient="Patient/q"), AT, False),
        (replace(GRANT, revoked=True), AT, False),
    ],
)
def test_an_emergency_grant_is_good_for_its_person_and_patient_in_its_time(
    grant: EmergencyGrant, at: int, good: bool
) -> None:
    assert valid(grant, ASKED, Person(PATIENTS), Switches(), at) is good
    clerk = replace(ASKED, requester=replace(ASKED.requester, role="clerical"))
    assert not valid(grant, clerk, Person(PATIENTS), Switches(), at)


@pytest.mark.attack(57)
def test_an_emergency_grant_lasts_no_longer_than_the_region_lets_one_whatever_it_says_of_itself() -> None:
    """P16: also one that was made under a choice of more hours."""
    long = replace(GRANT, end=AT + 9 * DAY)
    for hours in (1, 24):
        switches = load(f"break_glass_most_hours = {hours}")
        end = AT + hours * HOUR
        assert [valid(long, ASKED, Person(PATIENTS), switches, at) for at in (end - 1, end)] == [True, False]
        found = decide(ASKED, Person(PATIENTS, grants=(long,)), STUDY, switches, end - 60_000_000)
        assert (found.reasons[0], found.expires) == ("BTG_SELF_CLAIMED", end)


@pytest.mark.parametrize(
    ("until", "reason"), [(None, "EPISODE_ACTIVE"), (AT + 1, "EPISODE_ACTIVE"), (AT, "CREDENTIAL_EXPIRED")]
)
def test_a_credential_is_good_until_its_end(until: int | None, reason: str) -> None:
    person = Person(PATIENTS, relationships=(related("episode", "active"),))
    asker = Requester("ods:B", ORGS, DOCTOR, "clinician", credential_until=until)
    assert decide(Request(asker, "TREAT"), person, STUDY, Switches(), AT).reasons[0] == reason
