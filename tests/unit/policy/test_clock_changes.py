"""Where days begin and end: dates without a time, the region's zone, and the two days on which the clock changes
(README.md, 4.7, 4.9; P2). The ends are instants of Europe/London unless the region says otherwise."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from app.policy.care import compile_relationships
from app.policy.decide import decide
from app.policy.directive import compile_consent
from app.policy.model import Decision, Request, Requester
from app.policy.person import Person
from app.policy.study import compile_study
from app.policy.switches import Switches
from tests.support.region import consent, episode, study

SECOND = 1_000_000
ORGS = frozenset({"ods:RXB"})
LONDON = "Europe/London"


def at(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp()) * SECOND


def resolve(asked: str) -> str | None:
    return "ods:RXB" if asked == "Organization/rxb" else "ods:RXA" if asked == "Endpoint/archive-rxa" else asked


def decided(
    moment: int, cared: dict[str, Any], choice: dict[str, Any] | None = None, zone: str = LONDON, **more: Any
) -> Decision:
    """The decision for a clinician of B about a study of A at `moment`."""
    person = Person(
        frozenset({"Patient/p1"}),
        directives=(compile_consent(choice, resolve, zone),) if choice else (),
        relationships=tuple(compile_relationships(cared, resolve, zone)),
    )
    asker = Requester("ods:RXB", ORGS, "Practitioner/dr", "clinician")
    return decide(
        Request(asker, "TREAT"), person, compile_study(study(**more), resolve, None, zone), Switches(), moment
    )


# (period of the episode, zone, first instant inside, first instant after); None: no bound that matters here.
DAYS = [
    ({"start": "2026-03-10", "end": "2026-03-10"}, LONDON, "2026-03-10T00:00:00Z", "2026-03-11T00:00:00Z"),
    ({"start": "2026-07-01", "end": "2026-07-01"}, LONDON, "2026-06-30T23:00:00Z", "2026-07-01T23:00:00Z"),
    ({"start": "2026-03-29", "end": "2026-03-29"}, LONDON, "2026-03-29T00:00:00Z", "2026-03-29T23:00:00Z"),
    ({"start": "2026-10-25", "end": "2026-10-25"}, LONDON, "2026-10-24T23:00:00Z", "2026-10-26T00:00:00Z"),
    ({"start": "2026-03", "end": "2026-03"}, LONDON, "2026-03-01T00:00:00Z", "2026-03-31T23:00:00Z"),
    ({"start": "2026-10", "end": "2026-10"}, LONDON, "2026-09-30T23:00:00Z", "2026-11-01T00:00:00Z"),
    ({"start": "2026", "end": "2026"}, LONDON, "2026-01-01T00:00:00Z", "2027-01-01T00:00:00Z"),
    ({"start": "2026-07-01", "end": "2026-07-01"}, "UTC", "2026-07-01T00:00:00Z", "2026-07-02T00:00:00Z"),
    ({"start": "2026-07-01", "end": "2026-07-01"}, "Europe/Dublin", "2026-06-30T23:00:00Z", "2026-07-01T23:00:00Z"),
    (
        {"start": "2026-03-29T00:59:59+00:00", "end": "2026-03-29T02:00:00+01:00"},
        LONDON,
        "2026-03-29T00:59:59Z",
        "2026-03-29T01:00:01Z",
    ),
    (  # one o'clock comes twice: the summer one is before the winter one
        {"start": "2026-10-25T01:00:00+01:00", "end": "2026-10-25T01:00:00+00:00"},
        LONDON,
        "2026-10-25T00:00:00Z",
        "2026-10-25T01:00:01Z",
    ),
]  # fmt: skip


@pytest.mark.attack(61)
@pytest.mark.parametrize(("period", "zone", "first", "after"), DAYS)
def test_an_episode_lasts_from_the_first_to_the_last_instant_of_the_dates_it_states(
    period: dict[str, str], zone: str, first: str, after: str
) -> None:
    held = episode(period=period)
    moments = (at(first) - 1, at(first), at(after) - 1, at(after))
    assert [decided(one, held, zone=zone).reasons[0] for one in moments] == [
        "EPISODE_OUT_OF_PERIOD",
        "EPISODE_ACTIVE",
        "EPISODE_ACTIVE",
        "EPISODE_OUT_OF_PERIOD",
    ]
    assert decided(at(after) - SECOND, held, zone=zone).expires == at(after)


@pytest.mark.attack(61)
@pytest.mark.parametrize(("period", "zone", "first", "after"), DAYS)
def test_a_refusal_acts_from_the_first_to_the_last_instant_of_the_dates_it_states(
    period: dict[str, str], zone: str, first: str, after: str
) -> None:
    cared = episode(period={"start": "2020"})
    for refusal in (
        consent(provision={"type": "deny", "period": period}),
        consent(provision={"type": "permit", "provision": [{"type": "deny", "period": period}]}),
    ):
        moments = (at(first) - 1, at(first), at(after) - 1, at(after))
        assert [decided(one, cared, refusal, zone).permitted for one in moments] == [True, False, False, True]
        before = decided(at(first) - SECOND, cared, refusal, zone)
        assert before.expires == at(first)


@pytest.mark.attack(61)
@pytest.mark.parametrize(
    ("started", "days", "withheld"),
    [
        ("2026-03-29T23:30:00+01:00", "2026-03-29", True),
        ("2026-03-29T23:30:00Z", "2026-03-29", False),  # half past midnight of the thirtieth, in London
        ("2026-10-25T00:30:00+01:00", "2026-10-25", True),
        ("2026-10-24T23:30:00Z", "2026-10-25", True),
        ("2026-10-25T23:59:59Z", "2026-10-25", True),
        ("2026-10-26T00:00:00Z", "2026-10-25", False),
        ("2026-10", "2026-10-25", True),  # it may have been that day
        ("2026", "2026-10-25", True),
        ("2026-11", "2026-10-25", False),
        ("2026-10-25", "2026-10", True),
    ],
)
def test_a_refusal_of_what_was_made_on_some_days_reaches_every_study_that_may_be_of_them(
    started: str, days: str, withheld: bool
) -> None:
    nested = {"type": "deny", "dataPeriod": {"start": days, "end": days}}
    refusal = consent(provision={"type": "permit", "provision": [nested]})
    cared, now = episode(period={"start": "2020"}), at("2026-12-01T10:00:00Z")
    assert decided(now, cared, refusal, started=started).permitted is not withheld


@pytest.mark.attack(61)
def test_a_planned_visit_opens_and_closes_by_days_of_24_hours_across_a_change_of_the_clock() -> None:
    """P3 counts days from the instant at which the local day begins."""
    held = episode(status="planned", period={"start": "2026-04-05"})
    opens, closes = at("2026-04-04T23:00:00Z") - 14 * 86_400 * SECOND, at("2026-04-04T23:00:00Z") + 7 * 86_400 * SECOND
    moments = (opens - 1, opens, closes - 1, closes)
    assert [decided(one, held).permitted for one in moments] == [False, True, True, False]
