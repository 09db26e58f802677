"""By when something is due: working days of England and Wales, and calendar months, in the region's zone. Instants are
microseconds UTC."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo

from app.fhir.temporal import SECOND

ACKNOWLEDGE_DAYS = CONFIRM_DAYS = 2  # working days in which a letter goes out


def local_date(at: int, zone: str) -> date:
    return datetime.fromtimestamp(at / SECOND, ZoneInfo(zone)).date()


def end_of_day(day: date, zone: str) -> int:
    """The first instant after the day."""
    after = day + timedelta(days=1)
    return int(datetime(after.year, after.month, after.day, tzinfo=ZoneInfo(zone)).timestamp()) * SECOND


def working_days(at: int, days: int, zone: str) -> int:
    """The end of the `days`th working day after the day of `at`."""
    day = local_date(at, zone)
    while days > 0:
        day += timedelta(days=1)
        days -= day.weekday() < 5 and day not in holidays(day.year)
    return end_of_day(day, zone)


def one_month(at: int, zone: str) -> int:
    """The end of the same day of the next month; of its last day, where it lacks that one."""
    day = local_date(at, zone)
    year, month = divmod(day.year * 12 + day.month, 12)
    return end_of_day(_last(year, month + 1, day.day), zone)


def birthday(born: date, age: int) -> date:
    """The day on which somebody is so old: born on 29 February, on 1 March of common years."""
    try:
        return born.replace(year=born.year + age)
    except ValueError:
        return date(born.year + age, 3, 1)


def _last(year: int, month: int, day: int) -> date:
    while True:
        try:
            return date(year, month, day)
        except ValueError:
            day -= 1


@cache
def holidays(year: int) -> frozenset[date]:
    """The bank holidays of England and Wales (Banking and Financial Dealings Act 1971), but for those proclaimed for one
    year alone."""
    easter = _easter(year)
    christmas = [date(year, 12, 25), date(year, 12, 26)]
    instead = [day + timedelta(days=2) for day in christmas if day.weekday() >= 5]
    new_year = date(year, 1, 1)
    if new_year.weekday() >= 5:
        new_year += timedelta(days=7 - new_year.weekday())
    may, august = date(year, 5, 31), date(year, 8, 31)
    return frozenset(
        {
            new_year,
            easter - timedelta(days=2),
            easter + timedelta(days=1),
            date(year, 5, 1) + timedelta(days=-date(year, 5, 1).weekday() % 7),
            may - timedelta(days=may.weekday()),
            august - timedelta(days=august.weekday()),
            *christmas,
            *instead,
        }
    )


def _easter(year: int) -> date:
    """Easter Sunday of the Gregorian calendar (the anonymous computus)."""
    golden, century, rest = year % 19, year // 100, year % 100
    epact = (19 * golden + century - century // 4 - (century - (century + 8) // 25 + 1) // 3 + 15) % 30
    weekday = (32 + 2 * (century % 4) + 2 * (rest // 4) - epact - rest % 4) % 7
    late = (golden + 11 * epact + 22 * weekday) // 451
    month, day = divmod(epact + weekday - 7 * late + 114, 31)
    return date(year, month, day + 1)
