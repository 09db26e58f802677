"""FHIR dates and instants as ranges of microseconds UTC.

https://hl7.org/fhir/R4/datatypes.html#dateTime and https://hl7.org/fhir/R4/search.html#date. A date stands for all
the time that it covers: `2026-03` is the month. What states no offset is local to a zone, with that zone's summer time.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

SECOND = 1_000_000
MINUTE = 60 * SECOND
DAY = 24 * 60 * MINUTE

_FORM = re.compile(
    r"(\d{4})(?:-(0[1-9]|1[0-2])(?:-(0[1-9]|[12]\d|3[01])"
    r"(?:T([01]\d|2[0-3]):([0-5]\d)(?::([0-5]\d|60)(?:\.(\d{1,18}))?)?(Z|[+-](?:0\d|1[0-3]):[0-5]\d|[+-]14:00)?)?)?)?\Z",
    re.ASCII,
)
_EPOCH = date(1970, 1, 1).toordinal()
_LAST_DAY = date.max.toordinal() - _EPOCH


@lru_cache(maxsize=8192)
def interval(text: str, zone: str = "Europe/London") -> tuple[int, int]:
    """[low, high) in microseconds UTC of a date, dateTime or instant, at the precision it states.

    Minutes without seconds are accepted, as search allows. A local time that occurs twice in autumn covers both.
    Raises ValueError for anything else.
    """
    found = _FORM.match(text)
    if found is None:
        raise ValueError("not a FHIR date or time")
    year, month, day, hour, minute, second, fraction, offset = found.groups()
    if hour is None:
        first, after = _days(int(year), month and int(month), day and int(day))
        low = _midnight(first, zone)
        # A day that a place left out of its calendar still has an inside.
        return low, max(_midnight(after, zone), low + 1)
    days = date(int(year), int(month), int(day)).toordinal() - _EPOCH
    wall = days * DAY + (int(hour) * 60 + int(minute)) * MINUTE + int(second or 0) * SECOND
    width = SECOND if second else MINUTE
    if fraction:
        kept = fraction[:6]
        wall += int(kept.ljust(6, "0"))
        width = 10 ** (6 - len(kept))
    if offset is None:
        early, late = _local(wall, zone)
        return early, max(early, late) + width
    low = wall if offset == "Z" else wall - _offset(offset)
    return low, low + width


@lru_cache(maxsize=256)
def format_instant(at: int) -> str:
    """The instant `at` as FHIR writes it, in UTC with six decimals."""
    seconds, micro = divmod(at, SECOND)
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)
    return f"{moment.replace(tzinfo=None).isoformat()}.{micro:06d}Z"


def _days(year: int, month: int | str | None, day: int | str | None) -> tuple[int, int]:
    """The first day and the day after the last, counted from 1970-01-01."""
    if day:
        first = date(year, int(month or 1), int(day)).toordinal() - _EPOCH
        return first, first + 1
    if month:
        first = date(year, int(month), 1).toordinal() - _EPOCH
        if year == date.max.year and int(month) == 12:
            return first, _LAST_DAY + 1
        return first, date(year + int(month) // 12, int(month) % 12 + 1, 1).toordinal() - _EPOCH
    first = date(year, 1, 1).toordinal() - _EPOCH
    return first, _LAST_DAY + 1 if year == date.max.year else date(year + 1, 1, 1).toordinal() - _EPOCH


def _offset(text: str) -> int:
    size = (int(text[1:3]) * 60 + int(text[4:6])) * MINUTE
    return -size if text[0] == "-" else size


def _midnight(days: int, zone: str) -> int:
    return _local(days * DAY, zone)[0]


def _local(wall: int, zone: str) -> tuple[int, int]:
    """The two readings of a wall-clock time in a zone; they differ only where the clock is turned back or forward."""
    days, rest = divmod(wall, DAY)
    if not -_EPOCH + 2 < days < _LAST_DAY:
        return wall, wall  # the ends of the calendar have no local time that can be told
    moment = datetime.combine(date.fromordinal(days + _EPOCH), datetime.min.time()) + timedelta(microseconds=rest)
    place = _zone(zone)
    first = moment.replace(tzinfo=place).utcoffset()
    second = moment.replace(tzinfo=place, fold=1).utcoffset()
    if first is None or second is None:
        raise ValueError("a zone that does not know its offset")
    return wall - first // timedelta(microseconds=1), wall - second // timedelta(microseconds=1)


@lru_cache(maxsize=64)
def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (KeyError, OSError) as unknown:
        raise ValueError("not a time zone") from unknown
