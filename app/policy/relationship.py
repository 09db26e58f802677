"""Who is part of the patient's care (README.md, 4.9): the windows as data, and their reading.

`RULES` is read here by Python and by storage, which makes SQL of the same rows; a property test holds the two together.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache

from app.policy.care import compile_relationships
from app.policy.model import Relationship
from app.policy.switches import Switches

__all__ = [
    "RULES",
    "RelationshipRule",
    "Standing",
    "compile_relationships",
    "concerns",
    "holds",
    "misses",
    "standing",
    "window",
]

HOUR = 3_600_000_000
DAY = 24 * HOUR
Names = Collection[str]


@dataclass(frozen=True, slots=True)
class RelationshipRule:
    """Holds when kind and status match, the parties do, and `at` is in the window [low anchor + offset, high anchor +
    offset). An anchor that is not stated bounds nothing, unless `needs_start`. `until_end`: a stated end bounds too."""

    kind: str
    statuses: frozenset[str]
    member_required: bool
    org_required: bool
    anchor_low: str | None
    low_offset: int
    anchor_high: str | None
    high_offset: int
    needs_start: bool
    reason: str
    until_end: bool = False


@lru_cache(maxsize=16)
def RULES(switches: Switches) -> tuple[RelationshipRule, ...]:
    """The rules in force, the best first."""
    lead, stale = -switches.planned_lead_days * DAY, switches.planned_stale_days * DAY
    urgent = frozenset(f"active/{priority}" for priority in switches.referral_priorities)
    rules = [
        _rule("episode", "active", "EPISODE_ACTIVE", low=("start", 0), high=("end", 0)),
        _rule(
            "episode",
            "planned",
            "EPISODE_PLANNED",
            low=("start", lead),
            high=("start", stale),
            needs=True,
            until_end=True,
        ),
    ]
    for status in ("booked", "arrived", "checked-in"):
        rules.append(
            _rule("appointment", status, "APPOINTMENT_BOOKED", low=("start", lead), high=("start", stale), needs=True)
        )
    if switches.waitlist_counts:
        rules.append(_rule("episode", "waitlist", "EPISODE_WAITLIST", high=("end", 0)))
    if switches.onhold_counts == "team":
        rules.append(_rule("episode", "onhold", "EPISODE_ONHOLD_TEAM", low=("start", 0), high=("end", 0), member=True))
    if switches.finished_grace_days > 0:
        grace = switches.finished_grace_days * DAY
        rules.append(_rule("episode", "finished", "EPISODE_FINISHED_GRACE", low=("start", 0), high=("end", grace)))
    rules.append(_rule("careteam", "active", "CARETEAM_MDT", low=("start", 0), high=("end", 0), member=True))
    for status in sorted(urgent):
        window = switches.referral_hours * HOUR
        rules.append(
            _rule("referral", status, "REFERRAL_EMERGENCY", low=("start", 0), high=("start", window), needs=True)
        )
    return tuple(rules)


def _rule(
    kind: str,
    status: str,
    reason: str,
    *,
    low: tuple[str | None, int] = (None, 0),
    high: tuple[str | None, int] = (None, 0),
    member: bool = False,
    needs: bool = False,
    until_end: bool = False,
) -> RelationshipRule:
    return RelationshipRule(kind, frozenset({status}), member, True, *low, *high, needs, reason, until_end)


@lru_cache(maxsize=16)
def _ranked(switches: Switches) -> dict[tuple[str, str], tuple[tuple[int, RelationshipRule], ...]]:
    table: dict[tuple[str, str], tuple[tuple[int, RelationshipRule], ...]] = {}
    for rank, rule in enumerate(RULES(switches)):
        for status in rule.statuses:
            table[rule.kind, status] = (*table.get((rule.kind, status), ()), (rank, rule))
    return table


def window(rule: RelationshipRule, one: Relationship) -> tuple[int | None, int | None] | None:
    """[low, high) in which the rule can hold for the relationship; None when it never does."""
    if rule.needs_start and one.start is None:
        return None
    anchors = {"start": one.start, "end": one.end, None: None}
    low, high = anchors[rule.anchor_low], anchors[rule.anchor_high]
    low = None if low is None else low + rule.low_offset
    high = None if high is None else high + rule.high_offset
    if rule.until_end and one.end is not None:
        high = one.end if high is None else min(high, one.end)
    return low, high


def party(rule: RelationshipRule, one: Relationship, orgs: Names, names: Names) -> bool:
    """Whether the requester is the one that the rule asks for: the organisation, the person, or both."""
    named = not one.members.isdisjoint(names)
    if rule.member_required and not named:
        return False
    return not rule.org_required or (not one.orgs.isdisjoint(orgs) if one.orgs else named)


def holds(rule: RelationshipRule, one: Relationship, orgs: Names, names: Names, at: int) -> bool:
    """Whether the rule makes this a relationship of the requester (`orgs`: its tree, `names`: its people) at `at`."""
    if rule.kind != one.kind or one.status not in rule.statuses or not party(rule, one, orgs, names):
        return False
    span = window(rule, one)
    return span is not None and (span[0] is None or span[0] <= at) and (span[1] is None or at < span[1])


@dataclass(frozen=True, slots=True)
class Standing:
    """The best relationship that holds: what it is, why, and when it stops if nothing changes."""

    relationship: Relationship
    reason: str
    until: int | None


def standing(
    relationships: Iterable[Relationship], orgs: Names, names: Mapping[str, int | None], switches: Switches, at: int
) -> Standing | None:
    """The best of those that hold: the first rule of the table, then the one that lasts longest, then by name. `names`
    says of each of the requester's names until when it is theirs."""
    table = _ranked(switches)
    best: tuple[int, int | float, str, int] | None = None
    found: Standing | None = None
    for one in relationships:
        for rank, rule in table.get((one.kind, one.status), ()):
            if holds(rule, one, orgs, names, at):
                until = _until(rule, one, names)
                order = (rank, float("-inf") if until is None else -until, one.source, -one.version)
                if best is None or order < best:
                    best, found = order, Standing(one, rule.reason, until)
    return found


def _until(rule: RelationshipRule, one: Relationship, names: Mapping[str, int | None]) -> int | None:
    """When it stops: at the end of its window, or when the requester leaves the team through which it is theirs."""
    span = window(rule, one)
    end = span[1] if span else None
    if not rule.member_required and one.orgs:
        return end
    left = [names[name] for name in one.members if name in names]
    last = None if None in left else max((until for until in left if until is not None), default=None)
    return min((moment for moment in (end, last) if moment is not None), default=None)


def current_teams(
    relationships: Iterable[Relationship], orgs: Names, person: str, switches: Switches, at: int
) -> dict[str, int | None]:
    """The teams of the patient in which this person is now, and until when."""
    found: dict[str, int | None] = {}
    for one in relationships:
        if one.kind != "careteam":
            continue
        for _, rule in _ranked(switches).get((one.kind, one.status), ()):
            if holds(rule, one, orgs, (person,), at):
                until = _until(rule, one, {person: None})
                known = found.get(one.source, 0)
                found[one.source] = None if until is None or known is None else max(until, known)
    return found


# Why not ----------------------------------------------------------------------------------------------------------

KINDS = ("episode", "appointment", "careteam", "referral")


def concerns(one: Relationship, orgs: Names, names: Names) -> bool:
    """Whether the relationship names the requester, whatever its state."""
    named = not one.members.isdisjoint(names)
    if one.kind == "careteam":
        return named
    return not one.orgs.isdisjoint(orgs) if one.orgs else named


def misses(
    relationships: Iterable[Relationship], orgs: Names, names: Names, switches: Switches, at: int
) -> tuple[str, ...]:
    """Why no relationship of the requester holds, the nearest first; empty when there is none of any kind."""
    near = [one for one in relationships if concerns(one, orgs, names)]
    near.sort(key=lambda one: (KINDS.index(one.kind), one.source, one.version))
    return tuple(dict.fromkeys(_miss(one, switches, at) for one in near))


def _miss(one: Relationship, switches: Switches, at: int) -> str:
    status = one.status.upper()
    if one.kind == "careteam":
        return "CARETEAM_NOT_CURRENT"
    if one.kind == "referral":
        return _referral_miss(one, switches)
    if one.kind == "appointment":
        return "APPOINTMENT_OUT_OF_WINDOW" if (one.kind, one.status) in _ranked(switches) else f"APPOINTMENT_{status}"
    if one.status == "planned":
        if one.start is None:
            return "EPISODE_PLANNED_NO_START"
        return "EPISODE_TOO_EARLY" if at < one.start - switches.planned_lead_days * DAY else "EPISODE_PLANNED_STALE"
    return "EPISODE_OUT_OF_PERIOD" if one.status == "active" else f"EPISODE_{status.partition('/')[0]}"


def _referral_miss(one: Relationship, switches: Switches) -> str:
    status, _, priority = one.status.partition("/")
    if status != "active":
        return f"REFERRAL_{status.upper()}"
    return "REFERRAL_WINDOW_CLOSED" if priority in switches.referral_priorities else f"REFERRAL_{priority.upper()}"
