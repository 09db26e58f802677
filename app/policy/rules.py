"""The rules, in the order of README.md: each stands in one place, cites its clause, and the first hit decides.

A rule looks at the facts and gives cases: a condition on the study, and what follows where it is true. A rule that
gives no case lets the request pass on to the next. The last rule always decides.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from app.policy import emergency
from app.policy.consents import Choices
from app.policy.facts import Facts
from app.policy.model import ROLES
from app.policy.predicate import TRUE, And, Expr, Not, Origin, Status
from app.policy.switches import Switches

# The statuses of ImagingStudy and DiagnosticReport, but entered-in-error.
READABLE = frozenset(
    {
        "registered",
        "available",
        "cancelled",
        "unknown",
        "partial",
        "preliminary",
        "final",
        "amended",
        "corrected",
        "appended",
    }
)

PERMIT, DENY, REDACT = "PERMIT", "DENY", "REDACT"
REDACTION = "REDACT:endpoint,uids,description,reason,note"


class Case(NamedTuple):
    """Where `guard` is true (it is never unknown): the effect and its reasons, the deciding one first."""

    guard: Expr
    effect: str
    reasons: tuple[str, ...]
    obligations: tuple[str, ...] = ()
    basis: tuple[str, ...] = ()
    until: int | None = None


@dataclass(frozen=True, slots=True)
class Rule:
    number: int
    name: str
    clause: str
    says: str
    cases: Callable[[Facts], Iterable[Case]]


RULES: list[Rule] = []


def rule(clause: str) -> Callable[[Callable[[Facts], Iterable[Case]]], Callable[[Facts], Iterable[Case]]]:
    """Puts a function at the end of RULES; its docstring is what the rule says."""

    def add(cases: Callable[[Facts], Iterable[Case]]) -> Callable[[Facts], Iterable[Case]]:
        RULES.append(Rule(len(RULES) + 1, cases.__name__, clause, " ".join((cases.__doc__ or "").split()), cases))
        return cases

    return add


def _deny(
    reason: str, *more: str, guard: Expr = TRUE, obligations: tuple[str, ...] = (), basis: tuple[str, ...] = ()
) -> tuple[Case]:
    return (Case(guard, DENY, (reason, *more), obligations, basis),)


@lru_cache(maxsize=4096)
def _of_orgs(orgs: frozenset[str]) -> tuple[tuple[Case], tuple[Case]]:
    """The cases that rest on the requester's organisations alone: kept, for every request of theirs has them."""
    in_error = And((Not(Status(READABLE)), Not(Origin(orgs))))
    return (Case(in_error, DENY, ("STUDY_ENTERED_IN_ERROR",)),), (Case(Origin(orgs), PERMIT, ("ORIGIN",)),)


@rule("4.1, P22")
def purpose_is_stated(facts: Facts) -> Iterable[Case]:
    """The security context proves a purpose of use; there is no default."""
    return () if facts.request.purpose else _deny("PURPOSE_MISSING")


@rule("4.1")
def requester_is_known(facts: Facts) -> Iterable[Case]:
    """The requester acts for one organisation, in a known role, with a credential that is still good."""
    asker = facts.request.requester
    if not asker.organisation:
        return _deny("ORGANISATION_MISSING")
    if asker.role not in ROLES:
        return _deny("ROLE_UNKNOWN")
    if asker.credential_until is not None and asker.credential_until <= facts.at:
        return _deny("CREDENTIAL_EXPIRED")
    return ()


@rule("4.2, P18")
def patient_is_one_person(facts: Facts) -> Iterable[Case]:
    """The patient's records join without circle or gap, and request and study are about that person."""
    person = facts.person
    if person.link_error:
        return _deny("PATIENT_LINK_INDETERMINATE", obligations=("ALERT_DQ",))
    named: list[str | None] = [] if facts.request.patient is None else [facts.request.patient]
    named += [] if facts.study is None else [facts.study.patient]
    if person.patients and any(one not in person.patients for one in named):
        return _deny("PATIENT_MISMATCH", obligations=("ALERT_DQ",))
    return ()


@rule("4.3, P21")
def patients_use_their_own_channel(facts: Facts) -> Iterable[Case]:
    """A patient's own app sees the patient's own studies, if the region opens that channel at all."""
    asker = facts.request.requester
    if asker.role != "patient":
        return ()
    channel = facts.switches.patient_channel
    if channel == "off" or (facts.request.action == "locate" and channel != "endpoints"):
        return _deny("PATIENT_CHANNEL_NOT_ENABLED")
    if asker.patient not in facts.person.patients:
        return _deny("PATIENT_NOT_SELF")
    in_error = _deny("STUDY_ENTERED_IN_ERROR", guard=Not(Status(READABLE)))
    return (*in_error, Case(TRUE, PERMIT, ("PATIENT_SELF",)))


@rule("4.3")
def study_is_not_in_error(facts: Facts) -> Iterable[Case]:
    """A study entered in error, or with a status that cannot be read, is for its origin only."""
    return _of_orgs(facts.orgs)[0]


@rule("4.3, P23")
def purpose_is_direct_care(facts: Facts) -> Iterable[Case]:
    """The purpose is treatment, emergency treatment, breaking the glass, or one that the region counts as these."""
    return () if facts.care_purpose else _deny("PURPOSE_NOT_DIRECT_CARE")


@rule("4.4, P1")
def origin_sees_its_own(facts: Facts) -> Iterable[Case]:
    """The organisation that made the study, site or trust, sees it; a sharing opt-out does not bind it."""
    if facts.switches.opt_out_binds_origin:
        return ()
    return _of_orgs(facts.orgs)[1]


@rule("4.4, S-flag")
def restricted_patients_are_not_located(facts: Facts) -> Iterable[Case]:
    """For a patient whose whereabouts are protected the answer is that of an unknown patient."""
    return _deny("PATIENT_RESTRICTED") if facts.person.restricted else ()


@rule("4.5 to 4.8, P11, P13")
def consents_can_be_read(facts: Facts) -> Iterable[Case]:
    """Every consent in force can be understood; one that cannot refuses everything until it is put right."""
    found = facts.choices
    if not found.unreadable:
        return ()
    codes, basis = zip(*found.unreadable, strict=True)
    return _deny(*dict.fromkeys(codes), obligations=("ALERT_DQ", *facts.conflict), basis=tuple(dict.fromkeys(basis)))


@rule("4.10, P16, P17")
def broken_glass_needs_a_grant(facts: Facts) -> Iterable[Case]:
    """Purpose BTG needs an emergency grant for this person, organisation and patient, in its time."""
    if not facts.breaks_glass or facts.grant is not None:
        return ()
    missing = facts.request.grant is None and not facts.person.grants
    reason = "BTG_GRANT_MISSING" if missing else "BTG_GRANT_INVALID"
    return _deny(reason, obligations=("ALERT_PRIVACY", *facts.conflict))


@rule("4.9, 4.11, P3 to P8, P12")
def care_is_being_delivered(facts: Facts) -> Iterable[Case]:
    """The organisation delivers part of the patient's care now, or holds an emergency grant; an opt-in is neither."""
    if facts.standing is not None or facts.grant is not None:
        return ()
    misses = facts.misses or ("NO_RELATIONSHIP",)
    return _deny(*misses, guard=facts.not_origin, obligations=facts.conflict)


@rule("4.7, 4.11, P9, P14")
def nothing_on_file_refuses(facts: Facts) -> Iterable[Case]:
    """No consent in force refuses this; an emergency grant overrides a refusal only where the region says so."""
    found, grant = facts.choices, facts.grant
    override = grant is not None and emergency.may_override(grant, facts.switches)
    for says in found.refusals:
        if override:
            reason = says.reason.replace("CONSENT_", "BTG_OVERRIDE_")
            yield from _permits(facts, says.guard, (reason, *facts.because), (says.basis,))
        else:
            yield from _deny(says.reason, guard=says.guard, obligations=facts.conflict, basis=(says.basis,))


@rule("4.11, 4.12, P24, P26")
def what_remains_is_permitted(facts: Facts) -> Iterable[Case]:
    """What is left is permitted, because of the relationship or grant, and of the consent, given or implied; the role
    may reduce it."""
    found = facts.choices
    if facts.switches.opt_out_binds_origin:
        yield Case(Origin(facts.orgs), PERMIT, ("ORIGIN",), facts.conflict, (), found.until)
        if not facts.because:
            yield from _deny("NO_RELATIONSHIP")
            return
    for says in found.permissions:
        yield from _permits(facts, says.guard, _reasons(facts, found, says.reason), (says.basis,))
    yield from _permits(facts, TRUE, _reasons(facts, found, "IMPLIED_CONSENT"))


def locating_is_reading(role: str, switches: Switches) -> bool:
    """Whether every rule says the same of locating a study as of reading it, for this role."""
    return role in ("clinician", "privacy") or (role == "system" and switches.system_may_locate)


def _reasons(facts: Facts, found: Choices, consent: str) -> tuple[str, ...]:
    """Breaking the glass stands first, then what is on file says, then the relationship."""
    if facts.breaks_glass:
        return (*facts.because[:1], consent, *facts.because[1:])
    return (consent, *facts.because) if found.on_file else (*facts.because, consent)


def _permits(facts: Facts, guard: Expr, reasons: tuple[str, ...], basis: tuple[str, ...] = ()) -> Iterable[Case]:
    role, locates = facts.request.requester.role, facts.request.action == "locate"
    switches = facts.switches
    obligations = (*facts.duties, *facts.conflict)
    if role == "clerical" and switches.clerical == "deny":
        return _deny("ROLE_NOT_ADMITTED", *reasons, guard=guard, obligations=obligations)
    if locates and (role == "clerical" or (role == "system" and not switches.system_may_locate)):
        return _deny("ROLE_MAY_NOT_LOCATE", *reasons, guard=guard, obligations=obligations)
    if role == "clerical":
        return (Case(guard, REDACT, reasons, (REDACTION, *obligations), (*facts.basis, *basis), facts.until),)
    return (Case(guard, PERMIT, reasons, obligations, (*facts.basis, *basis), facts.until),)
