"""A date is a range that has an inside, or it is refused. https://hl7.org/fhir/R4/datatypes.html#dateTime"""

from __future__ import annotations

from datetime import date, timedelta
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.fhir.temporal import format_instant, interval

FIRST = -62_135_596_800_000_000  # the year 1
LAST = 253_402_300_799_999_999  # the end of the year 9999
# Zones that change their clocks within a day. Where it is done around midnight, a minute may be told in two days.
ZONES = st.sampled_from(["Europe/London", "UTC", "Australia/Lord_Howe", "Asia/Kolkata"])


@settings(max_examples=100, deadline=None)
@given(st.integers(FIRST, LAST))
def test_every_microsecond_is_written_and_read_as_itself(at: int) -> None:
    assert interval(format_instant(at)) == (at, at + 1)


@settings(max_examples=100, deadline=None)
@given(st.integers(FIRST, LAST), ZONES)
def test_what_is_coarser_contains_what_is_finer(at: int, zone: str) -> None:
    local = format_instant(at).rstrip("Z")
    ranges = [interval(local[:length], zone) for length in (4, 7, 10, 16, 19, 26)]
    for (outer_low, outer_high), (low, high) in pairwise(ranges):
        assert outer_low <= low < high <= outer_high


@settings(max_examples=100, deadline=None)
@given(st.dates(max_value=date(9999, 12, 30)), ZONES)
def test_a_day_ends_where_the_next_begins(day: date, zone: str) -> None:
    low, high = interval(str(day), zone)
    assert low < high
    assert interval(str(day + timedelta(days=1)), zone)[0] == high


@settings(max_examples=100, deadline=None)
@given(st.text(alphabet="0123456789-:.TZ+ ", max_size=32))
def test_any_text_is_a_range_or_refused(text: str) -> None:
    try:
        low, high = interval(text)
    except ValueError:
        return
    assert low < high


def test_a_day_that_a_place_left_out_has_an_inside() -> None:
    """Samoa had no 30 December 2011; a record that states it is found none the less."""
    low, high = interval("2011-12-30", "Pacific/Apia")
    assert low < high


@pytest.mark.parametrize("offset", ["Z", "+14:00", "-12:00"])
def test_an_offset_moves_the_whole_range(offset: str) -> None:
    low, high = interval(f"2026-03-10T10:00{offset}")
    assert high - low == 60_000_000
