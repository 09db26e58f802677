"""The region's file: every fault at once, a version and a hash that says which choices were in force (README.md, P1 to P26)."""

from __future__ import annotations

import pytest

from app.policy.switches import CHOICES, SwitchError, Switches, load


def test_every_fault_of_a_file_is_named_at_once_with_what_was_expected() -> None:
    with pytest.raises(SwitchError) as raised:
        load(
            'colour = "red"\nfinished_grace_days = 31\nP9 = "always"\nP14 = "deny"\nunmatched_root_permit = "deny"\nversion = 3'
        )
    lines = str(raised.value).splitlines()
    assert [line.split()[0] for line in lines] == [
        "colour", "finished_grace_days", "P9", "unmatched_root_permit", "version"
    ]  # fmt: skip
    assert all("expected" in line for line in lines)


@pytest.mark.parametrize("text", ["a = = 1", "switches = 3"])
def test_what_is_no_file_of_choices_says_what_one_is(text: str) -> None:
    with pytest.raises(SwitchError, match="expected"):
        load(text)


def test_the_hash_says_what_was_chosen_and_not_what_it_is_called() -> None:
    assert load('version = "spring"').hash == Switches().hash
    assert load("finished_grace_days = 3").hash != Switches().hash
    assert load("[switches]\nfinished_grace_days = 3") == load("finished_grace_days = 3")
    assert load('referral_priorities = ["stat", "asap"]').hash == load('referral_priorities = ["asap", "stat"]').hash


def test_each_choice_of_the_policy_is_a_key() -> None:
    assert {one.id for one in CHOICES.values()} == {f"P{n}" for n in range(1, 27)}


@pytest.mark.parametrize(
    ("line", "accepted"),
    [
        ("finished_grace_days = 0", True),
        ("finished_grace_days = 30", True),
        ("finished_grace_days = -1", False),
        ("finished_grace_days = 31", False),
        ("finished_grace_days = true", False),
        ("waitlist_counts = 1", False),
        ("waitlist_counts = false", True),
        ('zone = "Europe/Paris"', True),
        ('zone = "Europe/Nowhere"', False),
        ('referral_priorities = ["routine", "urgent", "asap", "stat"]', True),
        ('referral_priorities = ["later"]', False),
        ('care_purposes = { CAREMGT = "TREAT" }', True),
        ('care_purposes = { CAREMGT = "BTG" }', False),
        ('care_purposes = { BTG = "TREAT" }', False),
        ('duties = { "urn:jobs|1" = "clerical" }', True),
        ('duties = { "urn:jobs|1" = "wizard" }', False),
        ('duties = { "|1" = "clerical" }', False),
        ('duties = { "urn:jobs|" = "clerical" }', False),
        ('duties = { R0260 = "clerical" }', False),
        ('P9 = "vital_interest"', True),
        ("P3 = 7", False),
        ("P6 = 3\nfinished_grace_days = 3", False),
    ],
)
def test_a_choice_takes_its_bounds_and_nothing_beyond(line: str, accepted: bool) -> None:
    if accepted:
        load(line)
    else:
        with pytest.raises(SwitchError, match="expected"):
            load(line)
