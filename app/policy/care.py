"""EpisodeOfCare, Appointment, CareTeam and ServiceRequest as the rows that step 9 reads, made when they are written.

https://hl7.org/fhir/R4/episodeofcare.html, https://hl7.org/fhir/R4/careteam.html. What cannot be read gives a row that
no rule accepts, so that it can be named as the reason but never opens anything.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

from app.fhir.temporal import interval
from app.policy.coding import listed, stated
from app.policy.model import Relationship
from app.policy.organisation import questions
from app.policy.provision import Post

Resolve = Callable[[str], str | None]
Span = tuple[int | None, int | None]

NO_PATIENT = ""
NOBODY = "unresolved"  # an organisation that is named and cannot be told: no requester is it
UNREADABLE = "unreadable"
ORDERS = ("order", "original-order", "reflex-order", "filler-order", "instance-order")


def compile_relationships(resource: dict[str, Any], resolve: Resolve, zone: str) -> list[Relationship]:
    """The relationships that one resource states. `resolve` tells what a reference stands for: an Organization its key,
    a PractitionerRole its practitioner, and `owner:Type/id` the organisation that answers for a resource."""
    build = {
        "EpisodeOfCare": _episode,
        "Appointment": _appointment,
        "CareTeam": _team,
        "Group": _group,
        "ServiceRequest": _referral,
    }
    return list(build[str(resource.get("resourceType"))](resource, resolve, zone))


def _row(resource: dict[str, Any], kind: str, status: object, patient: str, **more: Any) -> Relationship:
    meta = resource.get("meta")
    version = meta.get("versionId") if isinstance(meta, dict) else None
    number = int(version) if isinstance(version, str) and version.isascii() and version.isdigit() else 1
    text = status if isinstance(status, str) and status else UNREADABLE
    return Relationship(f"{resource['resourceType']}/{resource.get('id')}", number, kind, text, patient, **more)


def _episode(resource: dict[str, Any], resolve: Resolve, zone: str) -> Iterator[Relationship]:
    span = _span(resource, "period", zone)
    status = resource.get("status")
    if span is None:
        status = UNREADABLE
    elif status == "finished" and span[1] is None:
        status = "finished/undated"  # without an end there is no grace to count from
    teams = [one for reference in listed(resource.get("team")) for one in _team_members(reference, resource, resolve)]
    managers = _people(resource.get("careManager"), resolve)
    for patient in _patients(resource.get("patient"), resolve):
        yield _row(
            resource,
            "episode",
            status,
            patient,
            orgs=_organisations(resource.get("managingOrganization"), resolve),
            members=frozenset([*managers, *teams]),
            start=span[0] if span else None,
            end=span[1] if span else None,
        )


def _team_members(reference: object, resource: dict[str, Any], resolve: Resolve) -> Iterator[str]:
    """The team itself (who is in it is read from the team, when it counts), or the members of a contained one."""
    text = reference.get("reference") if isinstance(reference, dict) else None
    if not isinstance(text, str):
        return
    if text.startswith("#"):
        for one in listed(resource.get("contained")):
            if isinstance(one, dict) and one.get("resourceType") == "CareTeam" and one.get("id") == text[1:]:
                for participant in listed(one.get("participant")):
                    if isinstance(participant, dict) and "period" not in participant:
                        yield from _people(participant.get("member"), resolve)
    elif text.startswith("CareTeam/"):
        yield "/".join(text.split("/")[:2])


def _appointment(resource: dict[str, Any], resolve: Resolve, zone: str) -> Iterator[Relationship]:
    actors = [p.get("actor") for p in listed(resource.get("participant")) if isinstance(p, dict)]
    references = [a for a in actors if isinstance(a, dict)]
    patients = [p for a in references for p in _patients(a, resolve, only=True)]
    orgs = frozenset(o for a in references for o in _answering(a, resolve))
    members = frozenset(m for a in references for m in _people(a, resolve))
    start = _moment(resource.get("start"), zone)
    end = _moment(resource.get("end"), zone)
    status = resource.get("status") if start is not None or "start" not in resource else UNREADABLE
    for patient in dict.fromkeys(patients):
        yield _row(
            resource,
            "appointment",
            status,
            patient,
            orgs=orgs,
            members=members,
            start=start[0] if start else None,
            end=end[1] if end else None,
        )


def _team(resource: dict[str, Any], resolve: Resolve, zone: str) -> Iterator[Relationship]:
    """One row for each time of membership and organisation acted for, each no longer than the team's own period."""
    whole = _span(resource, "period", zone)
    rows: dict[tuple[Span | None, frozenset[str]], set[str]] = {}
    for participant in listed(resource.get("participant")):
        if not isinstance(participant, dict):
            continue
        own = _span(participant, "period", zone)
        span = None if own is None or whole is None else _within(whole, own)
        orgs = _organisations(participant.get("onBehalfOf"), resolve) if "onBehalfOf" in participant else frozenset()
        rows.setdefault((span, orgs), set()).update(_people(participant.get("member"), resolve))
    # A team that is nobody's in particular makes no relationship, but a Consent may name it.
    for patient in _patients(resource.get("subject"), resolve) or [NO_PATIENT]:
        for (span, orgs), members in rows.items():
            yield _row(
                resource,
                "careteam",
                resource.get("status") if span else UNREADABLE,
                patient,
                orgs=orgs,
                members=frozenset(members),
                start=span[0] if span else None,
                end=span[1] if span else None,
            )


def _group(resource: dict[str, Any], resolve: Resolve, zone: str) -> Iterator[Relationship]:
    """Who is in a group: no relationship to anyone, but a Consent may name it. One row for each time of membership."""
    status = "active" if resource.get("active", True) is True else "inactive"
    rows: dict[Span | None, set[str]] = {}
    for member in listed(resource.get("member")):
        if isinstance(member, dict) and member.get("inactive", False) is False:
            rows.setdefault(_span(member, "period", zone), set()).update(_people(member.get("entity"), resolve))
    for span, members in rows.items():
        start, end = span or (None, None)
        named = frozenset(members)
        yield _row(resource, "group", status if span else UNREADABLE, NO_PATIENT, members=named, start=start, end=end)


def _within(whole: Span, own: Span) -> Span:
    starts = [one for one in (whole[0], own[0]) if one is not None]
    ends = [one for one in (whole[1], own[1]) if one is not None]
    return max(starts, default=None), min(ends, default=None)


def _referral(resource: dict[str, Any], resolve: Resolve, zone: str) -> Iterator[Relationship]:
    status, priority = resource.get("status"), resource.get("priority", "routine")
    if not isinstance(status, str) or not isinstance(priority, str):
        text = UNREADABLE
    elif resource.get("intent") not in ORDERS or resource.get("doNotPerform", False) is not False:
        text = f"{status}/not-ordered"
    else:
        text = f"{status}/{priority}"
    performers = [p for p in listed(resource.get("performer")) if isinstance(p, dict)]
    authored = _moment(resource.get("authoredOn"), zone)
    for patient in _patients(resource.get("subject"), resolve):
        yield _row(
            resource,
            "referral",
            text,
            patient,
            orgs=frozenset(o for p in performers for o in _answering(p, resolve)),
            members=frozenset(m for p in performers for m in _people(p, resolve)),
            start=authored[0] if authored else None,
        )


def post_of(resource: dict[str, Any], resolve: Resolve, zone: str) -> str:
    """A PractitionerRole as a Consent that names it reads it, kept as text so that a resolver can answer with it. One
    whose organisation or period cannot be read is nobody's for certain."""
    orgs = _organisations(resource.get("organization"), resolve)
    span = _span(resource, "period", zone)
    active = resource.get("active", True) is True and span is not None and NOBODY not in orgs
    low, high = span or (None, None)
    organisation = next(iter(orgs - {NOBODY}), None)
    return json.dumps([organisation, low, high, active, sorted(stated(listed(resource.get("code"))))])


def post_from(text: str) -> Post:
    """What `post_of` wrote."""
    return Post.from_json(json.loads(text))


# Reading elements -------------------------------------------------------------------------------------------------


def _span(holder: dict[str, Any], element: str, zone: str) -> Span | None:
    """[start, end) of a Period; (None, None) when there is none; None when it cannot be read."""
    if element not in holder:
        return None, None
    period = holder[element]
    if not isinstance(period, dict):
        return None
    low, high = (_moment(period[name], zone) if name in period else (None, None) for name in ("start", "end"))
    return None if low is None or high is None else (low[0], high[1])


def _moment(text: object, zone: str) -> tuple[int, int] | None:
    try:
        return interval(text, zone) if isinstance(text, str) else None
    except ValueError:
        return None


def _patients(reference: object, resolve: Resolve, only: bool = False) -> list[str]:
    for asked in _questions(reference):
        if asked.startswith(("Patient/", "identifier:")) and (found := resolve(asked)) and found.startswith("Patient/"):
            return [found]
        if asked.startswith("Patient/") and not only:
            return ["/".join(asked.split("/")[:2])]
    return []


def _people(reference: object, resolve: Resolve) -> list[str]:
    found = (resolve(asked) for asked in _questions(reference) if asked.startswith(("Practitioner", "identifier:")))
    return [one for one in found if one and one.startswith("Practitioner/")]


def _organisations(reference: object, resolve: Resolve) -> frozenset[str]:
    """The organisation that a reference names; nobody at all when it names one that cannot be told."""
    if reference is None:
        return frozenset()
    asked = questions(reference) if isinstance(reference, dict) else ()
    return frozenset({next((key for one in asked if (key := resolve(one))), NOBODY)})


def _answering(reference: dict[str, Any], resolve: Resolve) -> list[str]:
    """The organisation that a participant or performer is, or belongs to."""
    for asked in _questions(reference):
        if asked.startswith(("Organization/", "identifier:")):
            found = resolve(asked)
        elif asked.startswith(("Location/", "PractitionerRole/", "HealthcareService/")):
            found = resolve(f"owner:{asked}")
        else:
            continue
        if found and not found.startswith(("Patient/", "Practitioner")):
            return [found]
    return []


def _questions(reference: object) -> Iterator[str]:
    if not isinstance(reference, dict):
        return
    text = reference.get("reference")
    if isinstance(text, str) and "/" in text and ":" not in text:
        yield "/".join(text.split("/")[:2])
    identifier = reference.get("identifier")
    if isinstance(identifier, dict) and isinstance(identifier.get("value"), str):
        yield f"identifier:{identifier.get('system') or ''}|{identifier['value']}"
