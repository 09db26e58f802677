"""From the events of one pathway to the state of its EpisodeOfCare. Pure: the same set of events gives the same state,
whatever order they came in.

An event says what happened to a visit. A visit is booked, attended, over or cancelled; the episode is what its visits make
it. What an event took back (A11, A13, A23) is as if it had not been, and shows in the history of statuses.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

DAY = 24 * 3_600_000_000
FOLLOW_UP = 28 * DAY  # how long after a visit a booking still belongs to it

# What a trigger does to its visit, and its rank among events of one instant.
EFFECTS = (
    "refer",
    "book",
    "move",
    "cancel",
    "attend",
    "take-back-attendance",
    "discharge",
    "take-back-discharge",
    "remove",
)
TRIGGERS: dict[str, tuple[str, str]] = {
    "I12": ("refer", "referral accepted"),
    "S12": ("book", "appointment booked"),
    "S14": ("book", "appointment changed"),
    "A05": ("book", "pre-admission"),
    "A14": ("book", "admission pending"),
    "S13": ("move", "appointment moved"),
    "S15": ("cancel", "appointment cancelled"),
    "S17": ("cancel", "appointment deleted"),
    "S26": ("cancel", "patient did not attend"),
    "A38": ("cancel", "pre-admission cancelled"),
    "A27": ("cancel", "pending admission cancelled"),
    "A01": ("attend", "admitted"),
    "A04": ("attend", "attended"),
    "A11": ("take-back-attendance", "admission or attendance taken back"),
    "A03": ("discharge", "discharged"),
    "A13": ("take-back-discharge", "discharge taken back"),
    "A23": ("remove", "visit deleted"),
}
# Events of two records of a patient, none of a visit: the link that the first then has to the other. Their order is
# their rank at one instant.
LINKS: dict[str, tuple[str, str | None, str]] = {
    "A24": ("link", "seealso", "records linked"),
    "A40": ("merge", "replaced-by", "records merged"),
    "A37": ("unlink", None, "records told apart again, whether linked or merged"),
}
LINKED = {effect: kind for effect, kind, _ in LINKS.values()}


@dataclass(frozen=True, slots=True)
class Event:
    """`at`: when it was recorded at the sender (EVN-2); `keys`: the numbers by which the visit goes, so that an
    appointment and the encounter that came of it are one; `start`, `end` of the visit as the event states them."""

    id: str  # sender and control id
    at: int
    effect: str
    keys: frozenset[str]
    start: int | None = None
    end: int | None = None


@dataclass(frozen=True, slots=True)
class Joining:
    """What one organisation said, at `at`, of two records: `effect` is one of LINKED, of `record` to `other`."""

    org: str
    at: int
    effect: str
    record: str
    other: str
    id: str


@dataclass(frozen=True, slots=True)
class State:
    """`status` as EpisodeOfCare has it; instants in µs UTC."""

    status: str
    start: int
    end: int | None = None


@dataclass(frozen=True, slots=True)
class Visit:
    """What the events so far make of a visit. `booked_at` is when it was first booked, `due` when it is to be."""

    first: int
    referred: bool = False
    booked_at: int | None = None
    due: int | None = None
    cancelled: bool = False
    attended: int | None = None
    discharged: int | None = None
    removed: bool = False


def ordered(events: Iterable[Event]) -> list[Event]:
    """Each once, in the order in which they happened."""
    unique = {one.id: one for one in events}
    return sorted(unique.values(), key=lambda one: (one.at, EFFECTS.index(one.effect), one.id))


def links(said: Iterable[Joining]) -> frozenset[tuple[str, str, str]]:
    """(record, type, other) for each link that two records have: what each organisation said last of them, whatever
    order it came in. Nobody takes apart what another still holds together."""
    rank = list(LINKED)
    last: dict[str, Joining] = {}
    for one in sorted(said, key=lambda one: (one.at, rank.index(one.effect), one.id)):
        last[one.org] = one
    found = {(one.record, kind, one.other) for one in last.values() if (kind := LINKED[one.effect]) is not None}
    merged = {(record, other) for record, kind, other in found if kind == "replaced-by"}
    return frozenset(one for one in found if one[1] == "replaced-by" or not merged)


def derive(events: Iterable[Event]) -> State | None:
    """The state now; None where there are no events."""
    return _state(ordered(events))


def history(events: Iterable[Event]) -> list[State]:
    """The states one after the other; `start` is when each began, `end` when the next did."""
    line = ordered(events)
    found: list[State] = []
    for number, one in enumerate(line):
        now = _state(line[: number + 1])
        if now is None or (found and found[-1].status == now.status):
            continue
        if found:
            found[-1] = replace(found[-1], end=one.at)
        found.append(State(now.status, one.at))
    return found


def _state(line: Sequence[Event]) -> State | None:
    if not line:
        return None
    visits = [_visit(part) for part in _visits(line)]
    there = [one for one in visits if not one.removed]
    began = min(one.at for one in line)
    inside = [one for one in there if one.attended is not None and one.discharged is None]
    over = [one for one in there if one.attended is not None and one.discharged is not None]
    ahead = [one for one in there if one.attended is None and not one.cancelled and one.booked_at is not None]
    waiting = [
        one for one in there if one.attended is None and not one.cancelled and one.booked_at is None and one.referred
    ]
    cancelled = [one for one in there if one.cancelled and one.attended is None]
    ended = max((one.discharged or 0 for one in over), default=0)
    follow_up = bool(over) and any((one.booked_at or 0) <= ended + FOLLOW_UP for one in ahead)
    starts = [one.attended for one in (*inside, *over) if one.attended is not None]
    if inside or follow_up:
        return State("active", min(starts))
    dated = [one.due for one in ahead if one.due is not None]
    if dated:
        return State("planned", min(dated))
    if ahead or waiting:
        return State("waitlist", min(one.first for one in (*ahead, *waiting)))
    if over:
        return State("finished", min(starts), max(ended, min(starts)))
    if cancelled:
        return State("cancelled", min((one.due or one.first for one in cancelled), default=began))
    return State("entered-in-error", began)


def _visits(line: Sequence[Event]) -> Iterator[list[Event]]:
    """The events of each visit: those that share a key, directly or by way of others."""
    groups: list[tuple[set[str], list[Event]]] = []
    for one in line:
        met = [group for group in groups if group[0] & one.keys]
        keys = set(one.keys).union(*(group[0] for group in met))
        events = [*(event for group in met for event in group[1]), one]
        groups = [group for group in groups if group not in met] + [(keys, events)]
    for _, events in groups:
        yield ordered(events)


def _visit(events: Sequence[Event]) -> Visit:
    visit = Visit(events[0].at)
    for one in events:
        visit = _after(visit, one)
    return visit


def _after(visit: Visit, one: Event) -> Visit:
    due = one.start if one.start is not None else visit.due
    match one.effect:
        case "refer":
            return replace(visit, referred=True, due=due, booked_at=visit.booked_at or (one.at if one.start else None))
        case "book":
            return replace(visit, booked_at=visit.booked_at or one.at, due=due, cancelled=False)
        case "move":
            return replace(visit, booked_at=visit.booked_at or one.at, due=due)
        case "cancel":
            return replace(visit, cancelled=True, due=due)
        case "attend":
            return replace(visit, attended=one.start if one.start is not None else one.at)
        case "take-back-attendance":
            return replace(visit, attended=None, discharged=None)
        case "discharge":
            end = one.end if one.end is not None else one.at
            attended = visit.attended if visit.attended is not None else one.start if one.start is not None else end
            return replace(visit, attended=min(attended, end), discharged=end)
        case "take-back-discharge":
            return replace(visit, discharged=None)
        case _:
            return replace(visit, removed=True)
