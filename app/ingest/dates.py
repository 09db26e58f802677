"""DICOM dates and times to FHIR: DA (legacy form too), TM of any precision, (0008,0201) and zones.

PS3.5 section 6.2; https://hl7.org/fhir/R4/datatypes.html#dateTime. A time without a known offset is never given one:
only the date is kept.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from datetime import date as Day
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

DA = re.compile(r"(\d{4})(\.?)(\d{2})\2(\d{2})\Z", re.ASCII)
TM = re.compile(r"(\d{2})(?::?(\d{2})(?::?(\d{2})(?:\.(\d{1,6}))?)?)?\Z", re.ASCII)
OFFSET = re.compile(r"([+-])(\d{2})(\d{2})\Z", re.ASCII)


def day(text: str | None) -> str | None:
    """A DA value as YYYY-MM-DD; None when absent. Raises ValueError when it is not a date."""
    if text is None:
        return None
    found = DA.match(text)
    if not found:
        raise ValueError("is not a date")
    try:
        return Day(int(found[1]), int(found[3]), int(found[4])).isoformat()
    except ValueError as error:
        raise ValueError("is not a date of the calendar") from error


def offset(text: str | None) -> str | None:
    """A (0008,0201) value as +hh:mm; None when absent. Raises ValueError when it is not an offset."""
    if text is None:
        return None
    found = OFFSET.match(text)
    minutes = int(found[2]) * 60 + int(found[3]) if found else 0
    if not found or int(found[3]) > 59 or text == "-0000" or not -720 <= int(found[1] + str(minutes)) <= 840:
        raise ValueError("is not an offset from UTC")
    return f"{found[1]}{found[2]}:{found[3]}"


def instant(on: str, time: str | None, stated_offset: str | None, zone: str | None) -> tuple[str, str | None]:
    """A FHIR dateTime of `on` (YYYY-MM-DD) at the TM `time`, and why it is only a date when it is.

    The offset is `stated_offset` (+hh:mm) if there is one, else the zone's for that local time.
    """
    if time is None:
        return on, None
    found = TM.match(time)
    if not found or int(found[1]) > 23 or int(found[2] or 0) > 59 or int(found[3] or 0) > 60:
        return on, "is not a time; the date alone was kept"
    if found[2] is None:
        return on, "states the hour alone; the date alone was kept"
    seconds = min(int(found[3] or 0), 59)  # FHIR has no leap second
    fraction = (found[4] or "").rstrip("0")
    clock = f"{found[1]}:{found[2]}:{seconds:02d}" + (f".{fraction}" if fraction else "")
    if stated_offset is None:
        stated_offset, reason = _local(f"{on}T{found[1]}:{found[2]}:{seconds:02d}", zone)
        if stated_offset is None:
            return on, reason
    return f"{on}T{clock}{stated_offset}", None


def _local(naive: str, zone: str | None) -> tuple[str | None, str | None]:
    """The zone's offset at a local time, unless the clocks went past it or showed it twice."""
    if zone is None:
        return None, "has no offset and the archive has no zone; the date alone was kept"
    try:
        place = ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError):
        return None, "has no offset and the archive's zone is unknown; the date alone was kept"
    first = datetime.fromisoformat(naive).replace(tzinfo=place)
    before, after = first.utcoffset(), first.replace(fold=1).utcoffset()
    if before is None or before != after:
        return None, "falls where the clocks changed and states no offset; the date alone was kept"
    try:
        first.astimezone(UTC)
    except OverflowError:
        return None, "is outside the calendar; the date alone was kept"
    return _shown(before), None


def _shown(delta: timedelta) -> str:
    # Before standard time, zones had offsets with seconds, which FHIR cannot write: rounded to the minute.
    minutes = round(delta.total_seconds() / 60)
    sign = "-" if minutes < 0 else "+"
    return f"{sign}{abs(minutes) // 60:02d}:{abs(minutes) % 60:02d}"
