"""What makes Alderbrook, and at times another trust, a part of each demo patient's care."""

from __future__ import annotations

from typing import Any

from app.demo.naming import Clock, Resource, coding, concept, reference
from app.demo.organisations import ALDERBROOK, BIRCHWATER, CEDARHOLME, Trust

SNOMED = "http://snomed.info/sct"


def episode(
    patient: str, trust: Trust, status: str, start: str | None, end: str | None = None, **more: Any
) -> Resource:
    """An EpisodeOfCare; `start` and `end` are dates."""
    suffix = "" if status in ("active", "planned", "waitlist", "onhold", "finished") else f"-{status}"
    made: Resource = {
        "resourceType": "EpisodeOfCare",
        "id": f"{patient}-at-{trust.id}{suffix}",
        "status": status,
        "patient": reference(f"Patient/{patient}"),
        "managingOrganization": reference(trust.reference),
    }
    period = {name: value for name, value in (("start", start), ("end", end)) if value}
    return made | ({"period": period} if period else {}) | more


def episodes(clock: Clock) -> list[Resource]:
    """One in every status, and the plain active ones."""
    active = [
        episode(patient, ALDERBROOK, "active", clock.day(-60))
        for patient in ("hazel", "rowan", "willow", "birch", "aspen", "poplar", "spruce", "alder")
    ]
    return [
        *active,
        episode("linden", ALDERBROOK, "planned", clock.day(7)),
        episode("elder", ALDERBROOK, "waitlist", clock.day(-10)),
        episode("holly", ALDERBROOK, "onhold", clock.day(-90), team=[reference("CareTeam/holly-team")]),
        episode("juniper", ALDERBROOK, "finished", clock.day(-120), clock.day(-30)),
        episode("laurel", ALDERBROOK, "cancelled", clock.day(-20), clock.day(-15)),
        episode("laurel", ALDERBROOK, "entered-in-error", clock.day(-25), clock.day(-25)),
        episode("olive", BIRCHWATER, "active", clock.day(-45)),
        episode("sorrel", BIRCHWATER, "active", clock.day(-1)),
        episode("yew", CEDARHOLME, "active", clock.day(-200)),
    ]


def teams(clock: Clock) -> list[Resource]:
    """The team that is named in an episode on hold, and an MDT that reviews a patient for another trust."""
    return [
        _team("holly-team", "holly", "Named clinician", "dr-avocet", ALDERBROOK, clock.day(-90), None),
        _team("olive-mdt", "olive", "Neuro-oncology MDT", "dr-egret", CEDARHOLME, clock.day(-2), clock.day(28))
        | {"category": [concept("http://loinc.org", "LA27980-4", "Episode of care-focused care team")]},
    ]


def _team(id: str, patient: str, name: str, member: str, trust: Trust, start: str, end: str | None) -> Resource:
    return {
        "resourceType": "CareTeam",
        "id": id,
        "status": "active",
        "name": name,
        "subject": reference(f"Patient/{patient}"),
        "period": {"start": start} | ({"end": end} if end else {}),
        "participant": [
            {"member": reference(f"Practitioner/{member}"), "onBehalfOf": reference(trust.reference)},
        ],
        "managingOrganization": [reference(trust.reference)],
    }


def referrals(clock: Clock) -> list[Resource]:
    """An urgent one to Alderbrook; and a routine one, which makes nobody a part of anyone's care."""
    return [
        _referral(
            "sorrel-urgent", "sorrel", "stat", "dr-dotterel", clock.moment(hours=-2), "Suspected intracranial bleed"
        ),
        _referral("yew-routine", "yew", "routine", "dr-fulmar", clock.moment(days=-1), "Routine review"),
    ]


def _referral(id: str, patient: str, priority: str, requester: str, at: str, why: str) -> Resource:
    return {
        "resourceType": "ServiceRequest",
        "id": id,
        "status": "active",
        "intent": "order",
        "priority": priority,
        "code": concept(SNOMED, "3457005", "Patient referral"),
        "subject": reference(f"Patient/{patient}"),
        "authoredOn": at,
        "requester": reference(f"Practitioner/{requester}"),
        "performer": [reference(ALDERBROOK.reference)],
        "reasonCode": [{"text": why}],
    }


def appointments(clock: Clock) -> list[Resource]:
    """A booked one soon, without any episode yet; and one for the planned episode."""
    return [
        _appointment("maple-clinic", "maple", clock, 3),
        _appointment("linden-clinic", "linden", clock, 7),
    ]


def _appointment(id: str, patient: str, clock: Clock, days: int) -> Resource:
    def taking_part(who: str) -> Resource:
        return {"actor": reference(who), "status": "accepted"}

    return {
        "resourceType": "Appointment",
        "id": id,
        "status": "booked",
        "appointmentType": {"coding": [coding("v2-0276", "ROUTINE", "Routine appointment - default if not valued")]},
        "start": clock.moment(days=days),
        "end": clock.moment(days=days, hours=1),
        "participant": [
            taking_part(f"Patient/{patient}"),
            taking_part("Practitioner/dr-avocet"),
            taking_part("Location/alderbrook-general-clinic"),
        ],
    }


def locations() -> list[Resource]:
    """Where the clinics are held: how a booked appointment is known to be Alderbrook's."""
    return [
        {
            "resourceType": "Location",
            "id": "alderbrook-general-clinic",
            "status": "active",
            "name": "Neurology clinic, Alderbrook General Hospital (fictional)",
            "managingOrganization": reference("Organization/alderbrook-general"),
        }
    ]
