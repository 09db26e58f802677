"""What must hold of every decision, whatever the facts (the properties of the sharing policy, each by its own name)."""

from __future__ import annotations

from dataclasses import replace
from random import Random
from typing import Any

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from app.policy.decide import Person, decide
from app.policy.directive import DEEPEST, Directive, compile_consent
from app.policy.model import Decision, EmergencyGrant, Request, Requester, Study
from app.policy.switches import Switches
from tests.cases.gather import ZONE, Register
from tests.properties.hidden_worlds import AT, PEOPLE, World, provision, ref, world
from tests.support.region import consent

SECOND = 1_000_000
SWITCHES = st.sampled_from(
    [
        Switches(),
        Switches(opt_out_binds_origin=True),
        Switches(finished_grace_days=30, waitlist_counts=False),
        Switches(unmatched_root_permit="no-consent", proposed_optout="hold"),
        Switches(btg_overrides_optout="vital_interest", clerical="deny"),
    ]
)
chances = st.randoms(use_true_random=False)


class Asked:
    """One generated request: everything that `decide` takes, to be changed a little and asked again."""

    def __init__(self, chance: Random, switches: Switches) -> None:
        self.whole: World = world(chance)
        self.held = Register(self.whole.resources)
        self.switches = switches
        org = chance.choice(["RXA", "RXB", "RXC", "RXB01"])
        trees = {"RXB": {"ods:RXB", "ods:RXB01"}, "RXB01": {"ods:RXB", "ods:RXB01"}}
        self.asker = Requester(
            f"ods:{org}",
            frozenset(trees.get(org, {f"ods:{org}"})),
            chance.choice(["Practitioner/dr", "Practitioner/dr-2", None]),
            chance.choice(["clinician", "clinician", "system", "clerical", "privacy"]),
            "app",
            groups=frozenset(chance.sample(["CareTeam/t0", "Group/g"], chance.randint(0, 1))),
            ancestors=frozenset({"ods:RXB"} if org == "RXB01" else ()),
        )
        purpose = chance.choice(["TREAT", "TREAT", "ETREAT", "BTG", "HRESCH", None])
        self.request = Request(self.asker, purpose, chance.choice(["discover", "read", "locate"]))
        one = chance.choice(self.held.of("ImagingStudy"))
        self.about = one["subject"]["reference"]
        self.study = self.held.study(ref(one))
        self.person = self.held.person(self.about, self._grants(chance))

    def _grants(self, chance: Random) -> list[EmergencyGrant]:
        if chance.random() < 0.5:
            return []
        start = AT + chance.choice([-2, -1, 1]) * 3600 * SECOND
        end = start + chance.choice([1, 4]) * 3600 * SECOND
        who = self.asker.practitioner or "Practitioner/dr"
        reason = chance.choice(["emergency-care", "vital-interest"])
        return [
            EmergencyGrant("EmergencyGrant/g", 1, who, self.asker.organisation or "", self.about, start, end, reason)
        ]

    def consent(self, chance: Random, id: str, **more: Any) -> dict[str, Any]:
        date = chance.choice(["2026-01-15", "2026-02-20", "2025-06-01"])
        made = consent(id, subject=self.about.split("/")[1], dateTime=date) | {"provision": provision(chance)}
        return made | more

    def decide(self, person: Person | None = None, at: int = AT, study: Study | None = None) -> Decision:
        return decide(self.request, person or self.person, study or self.study, self.switches, at)

    def compiled(self, resource: dict[str, Any]) -> Directive:
        return compile_consent(resource, self.held.resolve, ZONE)


@settings(max_examples=150)
@given(chances, SWITCHES)
def test_adding_a_refusal_never_turns_a_refusal_into_a_permission(chance: Random, switches: Switches) -> None:
    asked = Asked(chance, switches)
    assume(not asked.decide().permitted)
    root = {"type": "deny"} | chance.choice(
        [{}, {"purpose": [{"code": "TREAT"}]}, {"class": [{"code": "ImagingStudy"}]}]
    )
    added = asked.compiled(asked.consent(chance, "added", provision=root))
    # A newer choice without criteria replaces older ones (S1): that it may also lift their exceptions is its purpose.
    more = replace(asked.person, directives=(*asked.person.directives, added))
    assert not asked.decide(more).permitted


@settings(max_examples=150)
@given(chances, SWITCHES)
def test_removing_a_relationship_never_turns_a_refusal_into_a_permission(chance: Random, switches: Switches) -> None:
    asked = Asked(chance, switches)
    assume(asked.person.relationships and not asked.decide().permitted)
    for gone in asked.person.relationships:
        left = tuple(one for one in asked.person.relationships if one != gone)
        assert not asked.decide(replace(asked.person, relationships=left)).permitted


@settings(max_examples=100)
@given(chances, SWITCHES)
def test_order_and_repetition_change_nothing(chance: Random, switches: Switches) -> None:
    asked, person = Asked(chance, switches), None
    person = asked.person
    mixed = replace(
        person,
        directives=tuple(chance.sample(person.directives * 2, len(person.directives) * 2)),
        relationships=tuple(chance.sample(person.relationships * 2, len(person.relationships) * 2)),
        grants=person.grants * 2,
    )
    assert asked.decide(mixed) == asked.decide()


BROKEN: list[Any] = [None, {}, [], "x", 7, {"coding": [{}]}, [{}], [None]]


@settings(max_examples=200)
@given(chances, SWITCHES)
def test_making_any_part_of_a_consent_unreadable_never_enlarges(chance: Random, switches: Switches) -> None:
    asked = Asked(chance, switches)
    made = asked.consent(chance, "read")
    assume(not asked.decide(replace(asked.person, directives=(asked.compiled(made),))).permitted)
    places = list(_places(made["provision"]))
    holder, name = chance.choice(places)
    holder[name] = chance.choice(BROKEN)
    assert not asked.decide(replace(asked.person, directives=(asked.compiled(made),))).permitted


def _places(provision: dict[str, Any]) -> Any:
    for name, value in provision.items():
        if name == "provision":
            for inner in value:
                yield from _places(inner)
        yield provision, name


@settings(max_examples=100)
@given(chances, SWITCHES)
def test_making_any_part_of_a_study_unreadable_never_opens_it_to_others(chance: Random, switches: Switches) -> None:
    asked = Asked(chance, switches)
    asked.person = replace(asked.person, directives=(asked.compiled(asked.consent(chance, "one")),))
    assume(not asked.decide().permitted)
    resource = dict(asked.held.held[asked.study.ref])
    for name in ("started", "modality", "status", "procedureCode", "meta", "encounter", "interpreter"):
        broken = resource | {name: chance.choice(BROKEN)}
        asked.held.held[asked.study.ref] = broken
        assert not asked.decide(study=asked.held.study(asked.study.ref)).permitted


@settings(max_examples=150)
@given(chances, SWITCHES, st.integers(0, 900 * SECOND))
def test_a_permission_holds_until_it_expires(chance: Random, switches: Switches, later: int) -> None:
    asked = Asked(chance, switches)
    given = asked.decide()
    assume(given.permitted)
    assert given.expires is not None and AT < given.expires <= AT + 900 * SECOND
    at = AT + later % (given.expires - AT)
    assert asked.decide(at=at).effect == given.effect
    assert asked.decide(at=given.expires - 1).effect == given.effect


@settings(max_examples=100)
@given(chances, SWITCHES)
def test_what_a_search_finds_is_what_single_decisions_permit(chance: Random, switches: Switches) -> None:
    from app.policy.decide import residual
    from app.policy.predicate import evaluate

    asked = Asked(chance, switches)
    left = residual(asked.request, asked.person, switches, AT)
    for one in asked.held.of("ImagingStudy", "DiagnosticReport"):
        if one["subject"]["reference"] in asked.person.patients:
            study = asked.held.study(ref(one))
            decision = decide(asked.request, asked.person, study, switches, AT)
            assert (evaluate(left.permit, study) is True) == decision.permitted
            assert left.decision(study) == decision


@settings(max_examples=150)
@given(chances, SWITCHES)
def test_joining_two_records_permits_nothing_that_both_refused_apart(chance: Random, switches: Switches) -> None:
    asked = Asked(chance, switches)
    first, second = (asked.held.person(f"Patient/{id}") for id in chance.sample(PEOPLE, 2))
    assume(not first.patients & second.patients)
    joined = Person(
        first.patients | second.patients,
        first.deceased or second.deceased,
        directives=first.directives + second.directives,
        relationships=first.relationships + second.relationships,
    )
    on = replace(asked.study, patient=min(first.patients))
    also = replace(asked.study, patient=min(second.patients))
    apart = asked.decide(first, study=on).permitted or asked.decide(second, study=also).permitted
    assume(not apart)
    assert not asked.decide(joined, study=on).permitted


@settings(max_examples=100)
@given(chances, SWITCHES)
def test_what_is_on_file_for_somebody_else_changes_nothing(chance: Random, switches: Switches) -> None:
    asked = Asked(chance, switches)
    others = [asked.held.person(f"Patient/{id}") for id in PEOPLE if f"Patient/{id}" not in asked.person.patients]
    more = replace(
        asked.person,
        directives=(*asked.person.directives, *(d for one in others for d in one.directives)),
        relationships=(*asked.person.relationships, *(r for one in others for r in one.relationships)),
        grants=(*asked.person.grants, *(replace(g, patient="Patient/else") for g in asked.person.grants)),
    )
    assert asked.decide(more).effect == asked.decide().effect


json = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(max_size=5)
    | st.sampled_from(["permit", "deny", "active", "2026"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "provision",
                    "type",
                    "period",
                    "start",
                    "end",
                    "actor",
                    "reference",
                    "role",
                    "coding",
                    "code",
                    "system",
                    "securityLabel",
                    "purpose",
                    "class",
                    "data",
                    "meaning",
                    "dataPeriod",
                    "action",
                    "modifierExtension",
                    "id",
                ]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@settings(max_examples=300)
@given(
    st.dictionaries(
        st.sampled_from(
            [
                "status",
                "scope",
                "patient",
                "dateTime",
                "performer",
                "policy",
                "policyRule",
                "provision",
                "verification",
                "contained",
                "implicitRules",
                "organization",
                "id",
                "meta",
            ]
        ),
        json,
    ),
    st.booleans(),
)
def test_a_decision_never_raises_whatever_a_consent_holds(content: dict[str, Any], sound: bool) -> None:
    made = (consent() | content) if sound else ({"resourceType": "Consent"} | content)
    directive = compile_consent(made, lambda asked: asked if asked == "Patient/p1" else None, ZONE)
    kept = Directive.from_json(directive.as_json())
    asker = Requester("ods:RXB", frozenset({"ods:RXB"}), "Practitioner/dr", "clinician")
    person = Person(frozenset({"Patient/p1"}), directives=(kept,))
    given = decide(Request(asker, "TREAT"), person, Study("ImagingStudy/s", "Patient/p1"), Switches(), AT)
    assert given.effect == "DENY"


@settings(max_examples=60)
@given(chances, SWITCHES)
def test_the_same_facts_give_the_same_answer_again(chance: Random, switches: Switches) -> None:
    """What the audit keeps (the request, the instant, the policy's hash) and the versions in store are all it takes."""
    asked = Asked(chance, switches)
    given = asked.decide()
    again = asked.held.person(asked.about, asked.person.grants)
    kept = replace(
        again, directives=tuple(Directive.from_json(one.as_json(), one.source, one.version) for one in again.directives)
    )
    assert asked.decide(kept) == given
    assert given.policy == switches.hash
    versions = {one.basis for one in kept.directives}
    versions |= {f"{one.source}/_history/{one.version}" for one in (*kept.relationships,)}
    versions |= {f"{one.ref}/_history/{one.version}" for one in kept.grants} | {f"policy:{switches.hash}"}
    assert set(given.basis) <= versions


def nested(depth: int) -> dict[str, Any]:
    made: dict[str, Any] = {"type": "permit" if depth % 2 else "deny"}
    return made | ({"provision": [nested(depth - 1)]} if depth > 1 else {})


def test_depth_is_bounded_where_the_policy_says() -> None:
    for depth in range(1, 8):
        made = compile_consent(consent(provision=nested(depth)), lambda asked: asked, ZONE)
        assert ("DEPTH" in made.faults) == (depth > DEEPEST)
