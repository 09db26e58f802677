"""What makes a relationship, row by row: parties, status and window as they are read (README.md, 4.9, P3 to P8)."""

from __future__ import annotations

from typing import Any

import pytest

from app.fhir.temporal import interval
from app.policy.care import NOBODY, UNREADABLE, compile_relationships
from app.policy.model import Relationship

ZONE = "Europe/London"
KNOWN = {
    "Organization/a": "ods:A",
    "Practitioner/d": "Practitioner/d",
    "Practitioner/x": "Practitioner/x",
    "PractitionerRole/r": "Practitioner/d",
    "owner:PractitionerRole/r": "ods:A",
    "http://else.example/Practitioner/d": "Practitioner/d",
    "identifier:urn:n|7": "Practitioner/d",
    "Patient/p": "Patient/p",
}
P, A, D, X = ({"reference": name} for name in ("Patient/p", "Organization/a", "Practitioner/d", "Practitioner/x"))
ORG, WHO = frozenset({"ods:A"}), frozenset({"Practitioner/d"})


def day(date: str) -> int:
    return interval(date, ZONE)[0]


def rows(type_name: str, **elements: Any) -> list[tuple[Any, ...]]:
    """(status, orgs, members, start, end) of each row."""
    made = compile_relationships({"resourceType": type_name, "id": "1", **elements}, KNOWN.get, ZONE)
    assert all(isinstance(one, Relationship) and (one.source, one.version) == (f"{type_name}/1", 1) for one in made)
    return [(one.status, one.orgs, one.members, one.start, one.end) for one in made]


@pytest.mark.parametrize(
    ("status", "period", "read"),
    [
        ("active", None, ("active", None, None)),
        ("active", {"start": "2026-03-01"}, ("active", day("2026-03-01"), None)),
        ("active", {"end": "2026-03-09"}, ("active", None, day("2026-03-10"))),
        ("finished", {"end": "2026-03-09"}, ("finished", None, day("2026-03-10"))),
        ("finished", {"start": "2026-03-01"}, ("finished/undated", day("2026-03-01"), None)),
        ("active", {"start": "soon", "end": "2026-03-09"}, (UNREADABLE, None, None)),
        ("active", {"start": "2026-03-01", "end": "later"}, (UNREADABLE, None, None)),
        ("active", "always", (UNREADABLE, None, None)),
    ],
)
def test_the_period_of_an_episode_is_its_window_and_one_that_cannot_be_read_opens_nothing(
    status: str, period: object, read: tuple[Any, ...]
) -> None:
    stated = {} if period is None else {"period": period}
    assert rows("EpisodeOfCare", status=status, patient=P, managingOrganization=A, **stated) == [
        (read[0], ORG, frozenset(), *read[1:])
    ]


@pytest.mark.parametrize(
    ("elements", "orgs", "members"),
    [
        ({}, frozenset(), frozenset()),
        ({"managingOrganization": {"reference": "Organization/gone"}}, frozenset({NOBODY}), frozenset()),
        ({"careManager": D}, frozenset(), WHO),
        ({"careManager": {"identifier": {"system": "urn:n", "value": "7"}}}, frozenset(), WHO),
        ({"careManager": {"reference": "http://else.example/Practitioner/d"}}, frozenset(), frozenset()),
        ({"careManager": {"reference": "Practitioner"}}, frozenset(), frozenset()),
        ({"team": [{"reference": "CareTeam/t/_history/2"}]}, frozenset(), frozenset({"CareTeam/t"})),
        (
            {
                "team": [{"reference": "#t"}],
                "contained": [
                    {
                        "resourceType": "CareTeam",
                        "id": "t",
                        "participant": [{"member": D}, {"member": X, "period": {}}],
                    },
                    {"resourceType": "CareTeam", "id": "u", "participant": [{"member": X}]},
                    {"resourceType": "Group", "id": "t", "participant": [{"member": X}]},
                ],
            },
            frozenset(),
            WHO,
        ),
    ],
)
def test_an_episode_is_of_those_it_names_and_of_nobody_that_cannot_be_told(
    elements: dict[str, Any], orgs: frozenset[str], members: frozenset[str]
) -> None:
    assert rows("EpisodeOfCare", status="active", patient=P, **elements) == [("active", orgs, members, None, None)]


@pytest.mark.parametrize(
    ("elements", "status", "start"),
    [
        ({"start": "2026-03-01T00:00:00Z"}, "booked", day("2026-03-01")),
        ({}, "booked", None),
        ({"start": "soon"}, UNREADABLE, None),
    ],
)
def test_an_appointment_whose_start_cannot_be_read_opens_nothing(
    elements: dict[str, Any], status: str, start: int | None
) -> None:
    who = [{"actor": P}, {"actor": {"reference": "PractitionerRole/r"}}]
    assert rows("Appointment", status="booked", participant=who, **elements) == [(status, ORG, WHO, start, None)]


def test_a_member_counts_in_their_own_time_and_never_beyond_the_teams() -> None:
    whole = {"start": "2026-03-01", "end": "2026-03-31"}
    people = [
        {"member": D, "onBehalfOf": A, "period": {"start": "2026-02-01", "end": "2026-03-09"}},
        {"member": X},
        {"member": X, "period": "always"},
    ]
    none = frozenset[str]()
    left, first, last = frozenset({"Practitioner/x"}), day("2026-03-01"), day("2026-04-01")
    assert rows("CareTeam", status="active", subject=P, period=whole, participant=people) == [
        ("active", ORG, WHO, first, day("2026-03-10")),
        ("active", none, left, first, last),
        (UNREADABLE, none, left, None, None),
    ]
    assert rows("CareTeam", status="active", subject=P, participant=people[1:2]) == [("active", none, left, None, None)]
    assert rows("CareTeam", status="active", subject=P, participant=people[:1]) == [
        ("active", ORG, WHO, day("2026-02-01"), day("2026-03-10"))
    ]
    unread = rows("CareTeam", status="active", subject=P, period="always", participant=people[1:2])
    assert unread == [(UNREADABLE, none, left, None, None)]


@pytest.mark.parametrize(
    ("said", "status"), [({}, "active"), ({"active": True}, "active"), ({"active": False}, "inactive")]
)
def test_a_group_holds_its_active_members(said: dict[str, Any], status: str) -> None:
    members = [{"entity": D}, {"entity": X, "inactive": True}]
    assert rows("Group", member=members, **said) == [(status, frozenset(), WHO, None, None)]


@pytest.mark.parametrize(
    ("elements", "status"),
    [
        ({"intent": "order"}, "active/routine"),
        ({"intent": "order", "priority": "stat", "doNotPerform": False}, "active/stat"),
        ({"intent": "order", "priority": "stat", "doNotPerform": True}, "active/not-ordered"),
        ({"intent": "proposal", "priority": "stat"}, "active/not-ordered"),
        ({"priority": "stat"}, "active/not-ordered"),
        ({"intent": "order", "priority": 1}, UNREADABLE),
    ],
)
def test_only_an_order_is_a_referral(elements: dict[str, Any], status: str) -> None:
    made = rows("ServiceRequest", status="active", subject=P, performer=[A, D], authoredOn="2026-03-01", **elements)
    assert made == [(status, ORG, WHO, day("2026-03-01"), None)]
