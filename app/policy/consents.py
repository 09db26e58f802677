"""The consents of one person, taken together (README.md, 4.5 to 4.8).

The combining rule, once: a newer unfiltered choice of the same record and domain puts the older ones out of force, but
never one that cannot be read; what is left combines with refusals winning. Only what the patient chose, or somebody
whose authority was verified, may permit or put out of force; a refusal counts whoever made it (P19).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from app.policy import scope
from app.policy.directive import Directive
from app.policy.predicate import FALSE, Expr, conj, definitely, negate, possibly
from app.policy.provision import Asker, nested
from app.policy.switches import Switches

BASE_DENY = "CONSENT_BASE_DENY"
EXCEPTION_DENY = "CONSENT_EXCEPTION_DENY"
NOT_MATCHED = "CONSENT_ROOT_PERMIT_NOT_MATCHED"
BASE_PERMIT = "CONSENT_BASE_PERMIT"
EXCEPTION_PERMIT = "CONSENT_EXCEPTION_PERMIT"
ORDER = (BASE_DENY, EXCEPTION_DENY, NOT_MATCHED, EXCEPTION_PERMIT, BASE_PERMIT)


@dataclass(frozen=True, slots=True)
class Says:
    """One thing that one consent says: where `guard` is true (it is never unknown), it refuses or permits."""

    reason: str
    guard: Expr
    basis: str

    @property
    def permits(self) -> bool:
        return self.reason in (BASE_PERMIT, EXCEPTION_PERMIT)


@dataclass(frozen=True, slots=True)
class Choices:
    """`unreadable`: (code, basis) of each that could not be understood. `until`: when any consent next starts or ends."""

    on_file: bool = False
    conflict: bool = False
    unreadable: tuple[tuple[str, str], ...] = ()
    refusals: tuple[Says, ...] = ()
    permissions: tuple[Says, ...] = ()
    until: int | None = None


NONE = Choices()


def choices(directives: Iterable[Directive], patients: frozenset[str], asker: Asker, switches: Switches) -> Choices:
    """What the consents on file say of this request."""
    ours = of_person(directives, patients)
    now = effective(ours, switches, asker.at)
    unreadable = tuple((f"CONSENT_INDETERMINATE:{fault}", one.basis) for one in now for fault in one.faults)
    said = [says for one in in_force(now, switches) for says in verdicts(one, asker, switches)]
    said.sort(key=lambda says: ORDER.index(says.reason))
    return Choices(
        on_file=bool(ours),
        conflict=len(now) > 1,
        unreadable=unreadable,
        refusals=tuple(says for says in said if not says.permits),
        permissions=tuple(says for says in said if says.permits),
        until=min(
            (moment for one in ours if _acts(one, switches) for moment in one.moments if moment > asker.at),
            default=None,
        ),
    )


def of_person(directives: Iterable[Directive], patients: frozenset[str]) -> list[Directive]:
    """Each consent of the person once, the newest first. One that does not say whose it is counts."""
    found = [one for one in directives if one.patient is None or one.patient in patients]
    return sorted(set(found), key=_newest_first) if len(found) > 1 else found


def state(one: Directive, effective: list[Directive], switches: Switches, at: int) -> str:
    """Why one consent acts or does not, in words."""
    if one.status != "active" and not _acts(one, switches):
        return f"not in force: its status is {one.status}"
    if not one.concerns:
        return "not in force: its scope is not the sharing of records"
    if not scope.applies(one.domain, switches):
        return "not in force: it was made under a policy that is not this region's"
    if not _in_period(one, at):
        return "not in force: outside its period"
    if not _counts(one, switches):
        return "not in force: a permission by somebody whose authority is not verified"
    if one.faults:
        return f"in force, and cannot be understood: {', '.join(one.faults)}"
    if one not in in_force(effective, switches):
        return "not in force: a newer choice replaces it"
    return "in force, and names somebody who is not kept here and cannot be told" if one.doubts else "in force"


def effective(ours: Iterable[Directive], switches: Switches, at: int) -> list[Directive]:
    """Step 5: those that act now, before any replaces another."""
    return [one for one in ours if _acts(one, switches) and _in_period(one, at) and _counts(one, switches)]


def _newest_first(one: Directive) -> tuple[float, str, int]:
    return (-one.issued[0] if one.issued else float("inf"), one.source, one.version)


def _acts(one: Directive, switches: Switches) -> bool:
    """Active, or a refusal not yet confirmed where the region lets it act at once (P10); of our scope and domain."""
    held = one.status == "proposed" and switches.proposed_optout == "hold" and not _only_permits(one) and not one.faults
    return (one.status == "active" or held) and one.concerns and scope.applies(one.domain, switches)


def _in_period(one: Directive, at: int) -> bool:
    return (one.low is None or one.low <= at) and (one.high is None or at < one.high)


def _trusted(one: Directive, switches: Switches) -> bool:
    """May permit, and put older choices out of force."""
    return one.status == "active" and (one.own or (one.verified and switches.permissive_proxy == "verified"))


def _counts(one: Directive, switches: Switches) -> bool:
    """A choice that only permits, by a proxy whose authority is not verified, does not count at all."""
    return bool(one.faults) or _trusted(one, switches) or not _only_permits(one)


def in_force(effective: list[Directive], switches: Switches) -> list[Directive]:
    """S1, S2, S4. A removal needs certainty: both times known, and not overlapping at the precision they state. Choices
    on different records never remove each other, so that a merge cannot open what both records closed (P18)."""
    newest: dict[tuple[str | None, tuple[str, ...]], int] = {}
    for one in effective:
        if one.unfiltered and one.issued and not one.faults and _trusted(one, switches):
            key = (one.patient, one.domain)
            newest[key] = max(newest.get(key, one.issued[0]), one.issued[0])
    return [one for one in effective if not _superseded(one, newest.get((one.patient, one.domain)))]


def _superseded(one: Directive, by: int | None) -> bool:
    """A choice without a time counts as the oldest where it permits, as the newest where it refuses anything."""
    if by is None or one.faults or scope.UNREADABLE in one.domain:
        return False
    return one.issued[1] <= by if one.issued else _only_permits(one)


def _only_permits(one: Directive) -> bool:
    return one.root.permit and one.unfiltered and not one.root.children


def verdicts(one: Directive, asker: Asker, switches: Switches) -> list[Says]:
    """Step 7: what one consent says, each part with the condition under which it does."""
    matched = one.root.applies(asker)
    inner = nested(one.root, asker)
    sure, maybe = definitely(matched), possibly(matched)
    if one.root.permit:
        open_ = conj(sure, negate(inner.denies))
        found = [
            Says(EXCEPTION_DENY, conj(maybe, inner.denies), one.basis),
            Says(EXCEPTION_PERMIT, conj(open_, inner.overridden), one.basis),
            Says(BASE_PERMIT, open_, one.basis),
        ]
        if switches.unmatched_root_permit == "deny":
            found.append(Says(NOT_MATCHED, negate(sure), one.basis))
    else:
        excepted = conj(inner.permits, negate(inner.denies))
        refused = conj(maybe, negate(excepted))
        found = [
            Says(EXCEPTION_DENY, conj(refused, inner.overridden), one.basis),
            Says(BASE_DENY, conj(refused, negate(inner.overridden)), one.basis),
            Says(EXCEPTION_PERMIT, conj(sure, excepted), one.basis),
        ]
    return [says for says in found if says.guard != FALSE and (not says.permits or _trusted(one, switches))]
