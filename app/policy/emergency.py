"""Breaking the glass (README.md, 4.10): whether the emergency grant is good."""

from __future__ import annotations

from app.policy.model import EmergencyGrant, Request
from app.policy.person import Person
from app.policy.switches import Switches

HOUR = 3_600_000_000
VITAL_INTEREST = frozenset({"vital-interest", "vital_interest"})
OBLIGATIONS = ("NOTIFY_PRIVACY_OFFICER", "REVIEW_WORKLIST", "NOTIFY_SOURCE_ORG")


def presented(request: Request, person: Person) -> list[EmergencyGrant]:
    """The grants that the request relies on: the one it names, else those that the requester holds."""
    return [one for one in person.grants if request.grant is None or one.ref == request.grant]


def until(one: EmergencyGrant, switches: Switches) -> int:
    """Its end, and never later than the region lets one last, whatever a grant says of itself (P16)."""
    return min(one.end, one.start + switches.break_glass_most_hours * HOUR)


def valid(one: EmergencyGrant, request: Request, person: Person, switches: Switches, at: int) -> bool:
    """Bound to this person, organisation and patient, in its time, not revoked; a clinician; the patient alive."""
    asker = request.requester
    return (
        switches.break_glass
        and asker.role == "clinician"
        and asker.practitioner == one.practitioner
        and asker.organisation == one.organisation
        and one.patient in person.patients
        and one.start <= at < until(one, switches)
        and not one.revoked
        and (switches.break_glass_after_death or not person.deceased)
    )


def best(request: Request, person: Person, switches: Switches, at: int) -> EmergencyGrant | None:
    """The valid grant that goes furthest: one that may override a refusal, then the one that lasts longest."""
    found = [one for one in presented(request, person) if valid(one, request, person, switches, at)]
    return max(
        found, key=lambda one: (may_override(one, switches), until(one, switches), one.ref, one.version), default=None
    )


def may_override(one: EmergencyGrant, switches: Switches) -> bool:
    """Whether this grant may override a recorded refusal (P9)."""
    return switches.btg_overrides_optout == "vital_interest" and one.reason in VITAL_INTEREST
