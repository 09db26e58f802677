"""FHIR dates and times as ranges. https://hl7.org/fhir/R4/datatypes.html#dateTime"""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from app.fhir.temporal import DAY, MINUTE, SECOND, format_instant, interval


def at(*parts: int) -> int:
    return int(datetime(*parts, tzinfo=UTC).timestamp()) * SECOND  # type: ignore[misc,arg-type]


@pytest.mark.parametrize(
    ("text", "low", "high"),
    [
        ("2026", at(2026, 1, 1), at(2027, 1, 1)),
        ("2026-02", at(2026, 2, 1), at(2026, 3, 1)),
        ("2024-02", at(2024, 2, 1), at(2024, 3, 1)),
        ("2026-12", at(2026, 12, 1), at(2027, 1, 1)),
        ("2026-02-03", at(2026, 2, 3), at(2026, 2, 4)),
        ("2026-12-31", at(2026, 12, 31), at(2027, 1, 1)),
        ("2026-02-03T10:20", at(2026, 2, 3, 10, 20), at(2026, 2, 3, 10, 21)),
        ("2026-02-03T10:20:30", at(2026, 2, 3, 10, 20, 30), at(2026, 2, 3, 10, 20, 31)),
        ("2026-02-03T10:20:30Z", at(2026, 2, 3, 10, 20, 30), at(2026, 2, 3, 10, 20, 31)),
        ("2026-02-03T10:20:30+02:30", at(2026, 2, 3, 7, 50, 30), at(2026, 2, 3, 7, 50, 31)),
        ("2026-02-03T10:20:30-05:00", at(2026, 2, 3, 15, 20, 30), at(2026, 2, 3, 15, 20, 31)),
        ("2026-02-03T10:20Z", at(2026, 2, 3, 10, 20), at(2026, 2, 3, 10, 21)),
        ("1969-12-31T23:59:59Z", -SECOND, 0),
    ],
)
def test_a_date_covers_all_the_time_that_it_states(text: str, low: int, high: int) -> None:
    assert interval(text) == (low, high)


@pytest.mark.parametrize(
    ("fraction", "micro", "width"),
    [("5", 500_000, 100_000), ("123", 123_000, 1_000), ("000001", 1, 1), ("1234567", 123_456, 1)],
)
def test_a_fraction_is_as_wide_as_its_last_digit(fraction: str, micro: int, width: int) -> None:
    low = at(2026, 2, 3, 10, 20, 30) + micro
    assert interval(f"2026-02-03T10:20:30.{fraction}Z") == (low, low + width)


def test_what_states_no_offset_is_local_to_the_zone_in_its_summer_time() -> None:
    assert interval("2026-07-01")[0] == at(2026, 6, 30, 23)
    assert interval("2026-07-01T10:00:00")[0] == at(2026, 7, 1, 9)
    assert interval("2026-07-01T10:00:00", "UTC")[0] == at(2026, 7, 1, 10)
    assert interval("2026-07-01", "Australia/Sydney")[0] == at(2026, 6, 30, 14)


def test_days_on_which_the_clock_changes_have_23_and_25_hours() -> None:
    low, high = interval("2026-03-29")
    assert high - low == 23 * 60 * MINUTE
    low, high = interval("2026-10-25")
    assert high - low == 25 * 60 * MINUTE


def test_a_local_time_that_occurs_twice_covers_both() -> None:
    assert interval("2026-10-25T01:30") == (at(2026, 10, 25, 0, 30), at(2026, 10, 25, 1, 31))


def test_a_local_time_that_is_skipped_is_read_with_the_offset_before() -> None:
    assert interval("2026-03-29T01:30") == (at(2026, 3, 29, 1, 30), at(2026, 3, 29, 1, 31))


def test_a_leap_second_is_the_one_after() -> None:
    assert interval("2016-12-31T23:59:60Z") == (at(2017, 1, 1), at(2017, 1, 1) + SECOND)


def test_the_ends_of_the_calendar_are_ranges_too() -> None:
    assert interval("0001", "UTC")[0] < interval("0002", "UTC")[0]
    low, high = interval("9999-12-31")
    assert high - low == DAY
    assert interval("9999") == (interval("9999-01-01")[0], high)
    assert interval("9999-12")[1] == high
    assert interval("0001-01-01")[1] - interval("0001-01-01")[0] == DAY


@pytest.mark.parametrize(
    "text",
    [
        "",
        "26",
        "2026-13",
        "2026-00",
        "2026-02-30",
        "2026-2-3",
        "2026-02-03T",
        "2026-02-03T10",
        "2026-02-03T24:00:00Z",
        "2026-02-03T10:60:00Z",
        "2026-02-03T10:20:61Z",
        "2026-02-03T10:20:30.Z",
        "2026-02-03T10:20:30+15:00",
        "2026-02-03T10:20:30+0100",
        "2026-02-03 10:20:30Z",
        "2026-02-03Z",
        "0000",
        "0000-01-01",
        "٢٠٢٦",
        "2026-02-03\n",
        "today",
    ],
)
def test_what_is_not_a_date_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"date|year|day|time"):
        interval(text)


def test_a_zone_that_is_not_known_is_refused() -> None:
    with pytest.raises(ValueError, match="not a time zone"):
        interval("2026-07-01", "Europe/Nowhere")


def test_an_instant_is_written_in_utc_with_six_decimals() -> None:
    assert format_instant(at(2026, 3, 10, 10)) == "2026-03-10T10:00:00.000000Z"
    assert format_instant(-1) == "1969-12-31T23:59:59.999999Z"


def test_an_instant_reads_back_as_itself() -> None:
    moment = at(2026, 3, 10, 10) + 123_456
    assert interval(format_instant(moment)) == (moment, moment + 1)
