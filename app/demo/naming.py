"""Systems, codes and small builders that all the demo data share."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

STAFF = "https://fhir.nhs.uk/Id/sds-user-id"
TERMINOLOGY = "http://terminology.hl7.org/CodeSystem/"

Resource = dict[str, Any]


def coding(system: str, code: str, display: str | None = None) -> dict[str, Any]:
    """A Coding; `system` may be the last part of an HL7 terminology URL."""
    made = {"system": system if ":" in system else TERMINOLOGY + system, "code": code}
    return made | ({"display": display} if display else {})


def concept(system: str, code: str, display: str | None = None) -> dict[str, Any]:
    return {"coding": [coding(system, code, display)]}


def reference(to: str) -> dict[str, str]:
    return {"reference": to}


def test_numbers(first: int) -> Iterator[str]:
    """NHS numbers of the test range from this serial on: 999, six digits, a check digit where there is one."""
    for serial in range(first, 1_000_000):
        digits = f"999{serial:06d}"
        check = 11 - sum(weight * int(digit) for weight, digit in zip(range(10, 1, -1), digits, strict=True)) % 11
        if check != 10:
            yield digits + str(check % 11)


class Clock:
    """Dates of the demo data, counted from the day and hour at which it was loaded (microseconds UTC)."""

    def __init__(self, at: int) -> None:
        self.now = datetime.fromtimestamp(at // 1_000_000, UTC)

    def day(self, days: int = 0) -> str:
        return (self.now + timedelta(days=days)).date().isoformat()

    def moment(self, *, days: int = 0, hours: int = 0) -> str:
        return (self.now + timedelta(days=days, hours=hours)).strftime("%Y-%m-%dT%H:00:00+00:00")
