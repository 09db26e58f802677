"""MDT: a list of patients and the team that reviews them. Each patient gets a CareTeam that names the reviewers for a time;
it opens their images to these people alone, and closes by its own period (nhs.md, section 4; policy.md, step 9).

Teams of one meeting share an identifier. Whoever coordinates is named too, and in a clerical role is shown that a study
exists, when it was, of what kind and from where, and nothing more (P24).
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, replace
from datetime import date, timedelta
from hashlib import blake2b
from typing import Any

import orjson

from app.access import audit
from app.access.subject import Subject
from app.fhir.lossless import dump
from app.fhir.outcome import Fault
from app.fhir.search import parse
from app.fhir.temporal import format_instant, interval
from app.interactions import Answer, Asked, Services
from app.interactions.carrying import carry
from app.interactions.presenting import content
from app.pathways import people
from app.pathways.clocks import local_date
from app.pathways.making import BASE, code_of, concept, organization
from app.pathways.parameters import read
from app.storage import agenda, resources, search
from app.storage.agenda import Item as Due
from app.storage.engine import Tx
from app.storage.resources import Stored

Json = dict[str, Any]

MEETINGS = f"{BASE}/Id/mdt"
CODES = f"{BASE}/CodeSystem/registry-mdt"
MOST_PATIENTS, MOST_PEOPLE = 200, 100
CLOSE = "mdt-close"
MEMBERS = {
    "name": ("valueString",),
    "organization": ("valueString", "valueIdentifier"),
    "starts": ("valueDate",),
    "ends": ("valueDate",),
    "submission": ("valueString",),
}


@dataclass(frozen=True, slots=True)
class Convening:
    """What is set up. `organisation` is the ODS code of the trust that reviews; people as "Practitioner/id" or
    system|value; patients by NHS number or "Patient/id"; dates YYYY-MM-DD, today and the region's usual days if empty."""

    name: str
    organisation: str
    reviewers: tuple[str, ...]
    patients: tuple[str, ...]
    coordinators: tuple[str, ...] = ()
    starts: str = ""
    ends: str = ""


@dataclass(frozen=True, slots=True)
class Glance:
    """What a coordinator is shown of a study: `started` as it is stated, modality codes, the ODS code of its source."""

    id: str
    started: str
    modality: tuple[str, ...]
    source: str


@dataclass(frozen=True, slots=True)
class Item:
    """One patient of the list, with what the asker may see; `team` is the CareTeam."""

    patient: str
    team: str
    name: str = ""
    number: str = ""
    studies: tuple[Glance, ...] = ()


@dataclass(frozen=True, slots=True)
class Meeting:
    """`organisation` reviews and `referring` asked for it (ODS codes); instants in µs UTC, `ends` exclusive."""

    id: str
    name: str
    organisation: str
    referring: str
    reviewers: tuple[str, ...]
    coordinators: tuple[str, ...]
    starts: int
    ends: int
    open: bool
    items: tuple[Item, ...]


# Setting up --------------------------------------------------------------------------------------------------------


def set_up(services: Services, asked: Asked, convening: Convening, *, submission: str = "") -> Meeting:
    """Open the patients' images to the named reviewers for the time of the meeting. The same `submission` again gives the
    same meeting. Raises Fault forbidden, or unprocessable and value with the field as expression."""

    def work(tx: Tx) -> Meeting:
        subject = asked.subject
        people.may_open(services, subject, "CareTeam")
        own = subject.organisation or ""
        by = submission or secrets.token_hex(16)
        id = f"mdt-{blake2b(f'{own} {by}'.encode(), digest_size=10).hexdigest()}"
        resources.lock_match_keys(tx, [blake2b(id.encode(), digest_size=16).digest()])
        if teams := _of_meeting(services, tx, id):
            return _meeting(services, tx, asked, teams)
        wanted = _checked(services, tx, subject, convening)
        made = [_team(services, tx, subject, convening, wanted, id, n) for n in range(len(wanted.patients))]
        agenda.put(tx, Due(CLOSE, id, wanted.ends))
        audit.record(
            tx, subject, services.enforcement.for_deciding(tx, "MDT"), "create", "CareTeam", status=201, disclosed=made,
            detail=f"MDT {id}", request_id=asked.request_id,
        )  # fmt: skip
        return _meeting(services, tx, asked, made)

    return carry(services, asked, "create", "CareTeam", work)


@dataclass(frozen=True, slots=True)
class _Wanted:
    organisation: str
    reviewers: list[str]
    coordinators: list[str]
    patients: list[str]
    starts: int
    ends: int


def _checked(services: Services, tx: Tx, subject: Subject, given: Convening) -> _Wanted:
    if not given.name.strip() or len(given.name) > 200:
        raise Fault("required", "missing, or too long; expected a name of at most 200 characters", "name")
    for name, most in (("reviewers", MOST_PEOPLE), ("patients", MOST_PATIENTS)):
        if not 1 <= len(getattr(given, name)) <= most:
            raise Fault("required", f"none, or too many; expected 1 to {most}", name)
    if len(given.coordinators) > MOST_PEOPLE:
        raise Fault("value", f"too many; expected at most {MOST_PEOPLE}", "coordinators")
    reviewing = people.organisation(services, tx, given.organisation, "organisation")
    named = {name: people.practitioners(tx, getattr(given, name), name) for name in ("reviewers", "coordinators")}
    if subject.practitioner in (*named["reviewers"], *named["coordinators"]):
        raise Fault("forbidden", "nobody names themselves; expected a colleague to do so", "reviewers")
    patients = [people.in_care(services, tx, subject, one, f"patients[{n}]")[0] for n, one in enumerate(given.patients)]
    starts, ends = _period(services, tx, given)
    return _Wanted(reviewing, named["reviewers"], named["coordinators"], list(dict.fromkeys(patients)), starts, ends)


def _period(services: Services, tx: Tx, given: Convening) -> tuple[int, int]:
    switches, today = services.enforcement.switches, local_date(tx.at, tx.zone)
    found = {}
    for name in ("starts", "ends"):
        try:
            found[name] = date.fromisoformat(getattr(given, name)) if getattr(given, name) else None
        except ValueError:
            raise Fault("value", "not a date; expected one like 2026-03-10", name) from None
    starts = found["starts"] or today
    ends = found["ends"] or starts + timedelta(days=switches.mdt_days)
    if starts < today or starts > today + timedelta(days=365):
        raise Fault("value", "in the past, or more than a year ahead; expected a day from today on", "starts")
    if not starts <= ends <= starts + timedelta(days=switches.mdt_most_days):
        text = f"before the start, or more than {switches.mdt_most_days} days after it; expected a day between"
        raise Fault("value", text, "ends")
    return interval(starts.isoformat(), tx.zone)[0], interval(ends.isoformat(), tx.zone)[1]


def _team(
    services: Services, tx: Tx, subject: Subject, given: Convening, wanted: _Wanted, id: str, number: int
) -> Stored:
    own = organization(subject.organisation or "")
    there = organization(wanted.organisation)
    participants = [
        {"role": [concept(CODES, role)], "member": {"reference": one}, "onBehalfOf": behalf}
        for role, named, behalf in (("reviewer", wanted.reviewers, there), ("coordinator", wanted.coordinators, there))
        for one in named
    ]
    team: Json = {
        "resourceType": "CareTeam",
        "identifier": [{"system": MEETINGS, "value": id}],
        "status": "active",
        "category": [concept(CODES, "mdt")],
        "name": given.name.strip(),
        "subject": {"reference": wanted.patients[number]},
        "period": {"start": format_instant(max(wanted.starts, tx.at)), "end": format_instant(wanted.ends)},
        "participant": participants,
        "managingOrganization": [own],
    }
    services.validator.check(team)
    grant = replace(services.enforcement.for_deciding(tx, "MDT"), writer=subject.organisation)
    return resources.create(tx, grant, team, f"{id}-{number}", "PUT")


def operation(services: Services, asked: Asked, parameters: Json) -> Answer:
    """CareTeam/$convene-mdt: `name`, `organization`, `reviewer`…, `coordinator`…, `patient`…, `starts`, `ends`. 201 with the
    meeting's identifier and its teams."""
    several: dict[str, list[str]] = {"reviewer": [], "coordinator": [], "patient": []}
    rest = []
    for one in parameters.get("parameter", ()) if isinstance(parameters.get("parameter"), list) else ():
        if isinstance(one, dict) and one.get("name") in several:
            several[one["name"]].append(_named(one))
        else:
            rest.append(one)
    given = read(parameters | {"parameter": rest}, MEMBERS, ("name", "organization"))
    whose = given["organization"]
    text = whose if isinstance(whose, str) else str(whose.get("value", ""))
    wanted = Convening(
        given["name"], text, tuple(several["reviewer"]), tuple(several["patient"]), tuple(several["coordinator"]),
        given.get("starts", ""), given.get("ends", ""),
    )  # fmt: skip
    meeting = set_up(services, asked, wanted, submission=given.get("submission", ""))
    said: list[Json] = [{"name": "meeting", "valueIdentifier": {"system": MEETINGS, "value": meeting.id}}]
    said += [{"name": "team", "valueReference": {"reference": one.team}} for one in meeting.items]
    return Answer(201, dump({"resourceType": "Parameters", "parameter": said}))


def _named(one: Json) -> str:
    reference, identifier = one.get("valueReference"), one.get("valueIdentifier")
    if isinstance(reference, dict) and isinstance(reference.get("reference"), str):
        return str(reference["reference"])
    identifier = reference.get("identifier") if isinstance(reference, dict) else identifier
    if isinstance(identifier, dict) and all(isinstance(identifier.get(key), str) for key in ("system", "value")):
        return f"{identifier['system']}|{identifier['value']}"
    raise Fault(
        "invalid",
        f"the parameter '{one['name']}' names nobody; expected a reference or an identifier",
        "Parameters.parameter",
    )


# Looking -----------------------------------------------------------------------------------------------------------


def lists(services: Services, asked: Asked) -> list[Meeting]:
    """The meetings that the asker's organisation set up or in which the asker has a place, the latest first."""

    def work(tx: Tx) -> list[Meeting]:
        meetings: dict[str, list[Stored]] = {}
        for one in _visible(services, tx, asked, f"{MEETINGS}|"):
            meetings.setdefault(_id_of(orjson.loads(one.content)), []).append(one)
        shown = [one for teams in meetings.values() for one in teams]
        audit.record(
            tx, asked.subject, None, "search-type", "CareTeam", status=200, disclosed=shown, detail="MDT lists",
            request_id=asked.request_id,
        )  # fmt: skip
        found = [_meeting(services, tx, asked, teams) for teams in meetings.values()]
        return sorted(found, key=lambda one: (not one.open, -one.starts, one.id))

    return carry(services, asked, "search-type", "CareTeam", work)


def find(services: Services, asked: Asked, id: str) -> Meeting:
    """One meeting, and of each patient what the asker may see. Raises Fault not-found."""

    def work(tx: Tx) -> Meeting:
        teams = _own_or_not_found(services, tx, asked, id)
        meeting = _meeting(services, tx, asked, teams)
        return replace(meeting, items=tuple(_shown(services, tx, asked, one) for one in meeting.items))

    return carry(services, asked, "read", "CareTeam", work)


def _shown(services: Services, tx: Tx, asked: Asked, item: Item) -> Item:
    """The studies, by the same decision as any search; none where policy refuses the asker."""
    query = parse("ImagingStudy", [("patient", item.patient), ("_count", "200"), ("_sort", "-started")],
                  base_url=services.settings.base_url, zone=tx.zone, at=tx.at)  # fmt: skip
    try:
        grant = services.enforcement.permit(tx, asked.subject, "search-type", "ImagingStudy", query=query)
    except Fault:
        return item
    found = search.run(tx, grant, query).entries
    audit.record(
        tx, asked.subject, grant, "search-type", "ImagingStudy", status=200, disclosed=found, detail="MDT list",
        request_id=asked.request_id, named=(item.patient,),
    )  # fmt: skip
    name, number = people.name_and_number(tx, grant, item.patient)
    return replace(
        item, name=name, number=number, studies=tuple(_glance(orjson.loads(content(grant, one)), one) for one in found)
    )


def _glance(said: Json, stored: Stored) -> Glance:
    modality = tuple(one.get("code", "") for one in said.get("modality", ()))
    return Glance(stored.id, said.get("started", ""), modality, (stored.owner or "").removeprefix("ods:"))


def close(services: Services, asked: Asked, id: str) -> Meeting:
    """End a meeting now: by the organisation that set it up. Closed already: as it is."""

    def work(tx: Tx) -> Meeting:
        people.may_open(services, asked.subject, "CareTeam")
        teams = _own_or_not_found(services, tx, asked, id)
        tree = services.enforcement.requester(tx, asked.subject).tree
        if any(one.owner not in tree for one in teams):
            text = "this meeting belongs to another organisation; expected the one that set it up"
            raise Fault("forbidden", text, detail="ACCESS_DENIED")
        changed = _ended(services, tx, teams)
        agenda.drop(tx, CLOSE, id)
        audit.record(
            tx, asked.subject, services.enforcement.for_deciding(tx, "MDT"), "update", "CareTeam", status=200,
            disclosed=changed, detail=f"MDT {id} is closed", request_id=asked.request_id,
        )  # fmt: skip
        return _meeting(services, tx, asked, changed)

    return carry(services, asked, "update", "CareTeam", work)


def closed(services: Services, tx: Tx, id: str) -> None:
    """The time of a meeting is over, and its teams say so. The access had ended with their period."""
    _ended(services, tx, _of_meeting(services, tx, id))


def _ended(services: Services, tx: Tx, teams: list[Stored]) -> list[Stored]:
    changed = []
    for one in teams:
        team = orjson.loads(one.content)
        if team["status"] != "active":
            changed.append(one)
            continue
        period, now = team["period"], tx.at
        if interval(period["end"], tx.zone)[0] > now:
            start = min(interval(period["start"], tx.zone)[0], now)
            period = {"start": format_instant(start), "end": format_instant(now)}
        grant = replace(services.enforcement.for_deciding(tx, "MDT"), writer=one.owner)
        changed.append(resources.update(tx, grant, one, team | {"status": "inactive", "period": period}))
    return changed


def _of_meeting(services: Services, tx: Tx, id: str) -> list[Stored]:
    query = parse("CareTeam", [("identifier", f"{MEETINGS}|{id}"), ("_count", str(MOST_PATIENTS))], base_url="",
                  zone=tx.zone, at=tx.at)  # fmt: skip
    return search.run(tx, services.enforcement.for_deciding(tx, "MDT", "CareTeam"), query).entries


def _own_or_not_found(services: Services, tx: Tx, asked: Asked, id: str) -> list[Stored]:
    teams = _visible(services, tx, asked, f"{MEETINGS}|{id}")
    if not teams:
        raise Fault("not-found", "no such meeting here; expected the id of one", detail="RESOURCE_NOT_FOUND")
    return teams


def _visible(services: Services, tx: Tx, asked: Asked, identifier: str) -> list[Stored]:
    """The teams that are the organisation's own, or name the asker."""
    own = services.enforcement.requester(tx, asked.subject)
    query = parse("CareTeam", [("identifier", identifier), ("_count", "500")], base_url=services.settings.base_url,
                  zone=tx.zone, at=tx.at)  # fmt: skip
    grant = services.enforcement.permit(tx, asked.subject, "search-type", "CareTeam", query=query)
    found = search.run(tx, grant, query).entries
    person = f'"{own.practitioner}"'.encode() if own.practitioner else b"\0"
    return [one for one in found if one.owner in own.tree or person in one.content]


def _id_of(team: Json) -> str:
    return next((one["value"] for one in team.get("identifier", ()) if one.get("system") == MEETINGS), "")


def _meeting(services: Services, tx: Tx, asked: Asked, teams: list[Stored]) -> Meeting:
    said = [orjson.loads(one.content) for one in teams]
    first = said[0]
    ends = interval(first["period"]["end"], tx.zone)[0]
    named = {
        role: tuple(p["member"]["reference"] for p in first["participant"] if code_of(p["role"][0]) == role)
        for role in ("reviewer", "coordinator")
    }
    return Meeting(
        id=_id_of(first),
        name=first["name"],
        organisation=next((_ods(p["onBehalfOf"]) for p in first["participant"]), ""),
        referring=(teams[0].owner or "").removeprefix("ods:"),
        reviewers=named["reviewer"],
        coordinators=named["coordinator"],
        starts=interval(first["period"]["start"], tx.zone)[0],
        ends=ends,
        open=first["status"] == "active" and tx.at < ends,
        items=tuple(Item(one["subject"]["reference"], f"CareTeam/{one['id']}") for one in said),
    )


def _ods(reference: Json) -> str:
    return str(reference.get("identifier", {}).get("value", reference.get("reference", "")))
