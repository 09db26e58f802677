"""What another set of choices opens and closes, study by study (README.md, the region's choices)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from app.policy.model import Relationship, Requester, Study
from app.policy.person import Person
from app.policy.simulate import Change, changes, level, same, views
from app.policy.switches import Switches, load

AT = 1_773_136_800_000_000  # 2026-03-10T10:00:00Z
DAY = 24 * 3_600_000_000
ORGS = frozenset({"ods:B"})
STUDY = Study("ImagingStudy/s", "Patient/p")
ENDED = Relationship("EpisodeOfCare/e", 1, "episode", "finished", "Patient/p", ORGS, end=AT - DAY)
CARED = replace(ENDED, status="active", end=None)
SYSTEM, CLERK = Requester("ods:B", ORGS, role="system"), Requester("ods:B", ORGS, "Practitioner/c", "clerical")


def person(*relationships: Relationship) -> Person:
    return Person(frozenset({"Patient/p"}), relationships=relationships)


@pytest.mark.parametrize(
    ("requester", "relationships", "choices", "expected"),
    [
        (SYSTEM, (), "", "nothing"),
        (SYSTEM, (CARED,), "", "images"),
        (SYSTEM, (CARED,), "system_may_locate = false", "metadata"),
        (CLERK, (CARED,), "", "existence"),
        (CLERK, (CARED,), 'clerical = "deny"', "nothing"),
    ],
)
def test_each_study_is_seen_at_a_level(
    requester: Requester, relationships: tuple[Relationship, ...], choices: str, expected: str
) -> None:
    assert level(views(requester, person(*relationships), load(choices), AT), STUDY) == expected


@pytest.mark.parametrize(
    ("old", "new", "relationship", "before", "after", "opens"),
    [
        ("", "finished_grace_days = 7", ENDED, "nothing", "images", True),
        ("finished_grace_days = 7", "", ENDED, "images", "nothing", False),
        ("", "system_may_locate = false", CARED, "images", "metadata", False),
        ("system_may_locate = false", "", CARED, "metadata", "images", True),
    ],
)
def test_a_study_that_would_be_seen_differently_is_a_change_that_opens_or_closes(
    old: str, new: str, relationship: Relationship, before: str, after: str, opens: bool
) -> None:
    seen = [views(SYSTEM, person(relationship), load(text), AT) for text in (old, new)]
    (found,) = changes(seen[0], seen[1], [STUDY])
    assert (found.study, found.before, found.after, found.opens) == ("ImagingStudy/s", before, after, opens)
    assert not same(seen[0], seen[1])


def test_what_is_seen_as_before_is_no_change() -> None:
    seen = views(SYSTEM, person(CARED), Switches(), AT)
    again = views(SYSTEM, person(CARED), load("finished_grace_days = 7"), AT)
    assert same(seen, again) and list(changes(seen, again, [STUDY])) == []
    assert not same(views(SYSTEM, person(CARED), Switches(), AT), views(CLERK, person(CARED), Switches(), AT))
    assert not Change("ImagingStudy/s", "metadata", "metadata", ("", "")).opens
