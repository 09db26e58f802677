"""DA, TM and offsets (PS3.5 section 6.2, (0008,0201)) as FHIR dates and dateTimes."""

from __future__ import annotations

import pytest

from app.ingest import dates


@pytest.mark.parametrize(("text", "expected"), [("20260310", "2026-03-10"), ("1997.04.24", "1997-04-24")])
def test_a_date_is_read_in_its_present_and_its_legacy_form(text: str, expected: str) -> None:
    assert dates.day(text) == expected


@pytest.mark.parametrize(
    "text",
    ["2026", "20260230", "00000000", "2026.0310", "20260310 ", "x", "\uff12\uff10\uff12\uff16\uff10\uff13\uff11\uff10"],
)
def test_what_is_no_date_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a date"):
        dates.day(text)


@pytest.mark.parametrize(
    ("time", "expected"),
    [
        ("173032", "2026-03-10T17:30:32+00:00"),
        ("14:04:38", "2026-03-10T14:04:38+00:00"),
        ("1730", "2026-03-10T17:30:00+00:00"),
        ("132645.921000", "2026-03-10T13:26:45.921+00:00"),
        ("132645.000", "2026-03-10T13:26:45+00:00"),
        ("235960", "2026-03-10T23:59:59+00:00"),
    ],
)
def test_a_time_keeps_the_precision_that_it_has(time: str, expected: str) -> None:
    assert dates.instant("2026-03-10", time, None, "Europe/London") == (expected, None)


def test_the_offset_is_that_of_the_zone_on_that_day() -> None:
    assert dates.instant("2026-07-10", "0900", None, "Europe/London")[0] == "2026-07-10T09:00:00+01:00"
    assert dates.instant("2026-01-10", "0900", None, "Europe/London")[0] == "2026-01-10T09:00:00+00:00"


def test_an_offset_in_the_image_is_stronger_than_the_zone() -> None:
    assert dates.instant("2026-07-10", "0900", dates.offset("-0500"), "Europe/London")[0] == "2026-07-10T09:00:00-05:00"


@pytest.mark.parametrize("time", ["09", "24", "0960", "9", "noon", "0900+0100", "2400"])
def test_a_time_that_cannot_be_stated_leaves_the_date_and_a_reason(time: str) -> None:
    found, reason = dates.instant("2026-03-10", time, None, "Europe/London")
    assert found == "2026-03-10"
    assert reason


def test_no_zone_means_no_offset_is_made_up() -> None:
    assert dates.instant("2026-03-10", "0900", None, None)[0] == "2026-03-10"
    assert dates.instant("2026-03-10", "0900", None, "Nowhere/Land")[0] == "2026-03-10"
    assert dates.instant("2026-03-10", None, None, None) == ("2026-03-10", None)


@pytest.mark.parametrize(("on", "time"), [("2026-03-29", "0130"), ("2026-10-25", "0130")])
def test_a_time_that_the_clocks_skipped_or_showed_twice_is_not_decided(on: str, time: str) -> None:
    found, reason = dates.instant(on, time, None, "Europe/London")
    assert found == on
    assert reason is not None and "clocks changed" in reason


@pytest.mark.parametrize("text", ["+1500", "-1300", "0100", "+01:00", "-0000", "+0099"])
def test_what_is_no_offset_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not an offset"):
        dates.offset(text)


def test_offsets_at_the_ends_of_the_earth_are_kept() -> None:
    assert dates.offset("+1400") == "+14:00"
    assert dates.offset("-1200") == "-12:00"


def test_the_first_and_last_day_of_the_calendar_do_no_harm() -> None:
    assert dates.instant("0001-01-01", "000000", None, "Europe/London")[0].startswith("0001-01-01")
    assert dates.instant("9999-12-31", "235959", None, "America/Los_Angeles")[0].startswith("9999-12-31")
