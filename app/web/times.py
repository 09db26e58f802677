"""Instants as people read them, in the region's own time."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

SECOND = 1_000_000


def day_of(zone: str) -> Callable[[int | None], str]:
    """Microseconds UTC → 3 March 2026."""
    place = ZoneInfo(zone)

    def day(at: int | None) -> str:
        if not at:
            return ""
        here = datetime.fromtimestamp(at / SECOND, UTC).astimezone(place)
        return f"{here.day} {here:%B %Y}"

    return day


def moment_of(zone: str) -> Callable[[int | None], str]:
    """Microseconds UTC → 3 March 2026, 14:05."""
    place, day = ZoneInfo(zone), day_of(zone)

    def moment(at: int | None) -> str:
        return f"{day(at)}, {datetime.fromtimestamp(at / SECOND, UTC).astimezone(place):%H:%M}" if at else ""

    return moment
