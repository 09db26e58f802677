"""$process-message: what a record system says happened becomes an event, once, and the EpisodeOfCare is worked out anew
from all events, in one transaction. https://hl7.org/fhir/R4/messageheader-operation-process-message.html

The client writes no more than it could by itself: its own organisation's EpisodeOfCare, Patients new or in its care. A
message that is repeated gets the same answer; one that says something else under a control id that was used is refused.
"""

from __future__ import annotations

import uuid
from hashlib import blake2b
from typing import Any

import orjson

from app.access import information
from app.fhir.lossless import dump
from app.fhir.outcome import Fault
from app.fhir.query import Token
from app.fhir.temporal import format_instant
from app.interactions import Answer, Asked, Services, create, update
from app.interactions.carrying import carry
from app.interactions.writing import current
from app.pathways.epr.derive import LINKED, LINKS, TRIGGERS, Event, Joining, derive, history, links
from app.pathways.epr.message import Message, read
from app.pathways.making import BASE, organization
from app.storage import events, resources
from app.storage.engine import Tx
from app.storage.events import Logged
from app.storage.projection import resolver

Json = dict[str, Any]

PATHWAYS = f"{BASE}/Id/pathway"


def process_message(services: Services, asked: Asked, bundle: Json) -> Answer:
    """200 with a message that says so. Raises Fault forbidden, invalid, required, value, conflict, unprocessable."""
    services.enforcement.check_writer(asked.subject, "create", "EpisodeOfCare")
    message = read(bundle, services.store.zone)
    said = blake2b(orjson.dumps(bundle, option=orjson.OPT_SORT_KEYS), digest_size=16).digest()
    return carry(
        services, asked, "operation", "EpisodeOfCare", lambda tx: _processed(services, tx, asked, message, said)
    )


def _processed(services: Services, tx: Tx, asked: Asked, message: Message, said: bytes) -> Answer:
    org = asked.subject.organisation
    if org is None:
        raise Fault("forbidden", "the client acts for no organisation; expected one that does", detail="ACCESS_DENIED")
    resources.lock_match_keys(tx, [_key(org, message.sender, message.control)])
    before = events.find(tx, org, message.sender, message.control)
    if before is not None:
        if before.hash != said:
            text = "this control id was used for another message; expected the same message, or a new control id"
            raise Fault("conflict", text, "Bundle.identifier.value")
        return _answer(
            services, tx, message, _episode_id(org, before.patient, before.pathway) if before.visit else None
        )
    patient = _patient(services, tx, asked, message.patient)
    other = _patient(services, tx, asked, message.into) if message.into is not None else None
    if patient == other:
        raise Fault("value", "a record and itself; expected two", "Patient.link")
    effect = (LINKS if message.trigger in LINKS else TRIGGERS)[message.trigger][0]
    events.keep(
        tx,
        Logged(
            org, message.sender, message.control, said, message.at, patient, message.pathway, effect,
            other or "\n".join(message.keys), message.start, message.end,
        ),
    )  # fmt: skip
    if other is not None:
        _relink(services, tx, asked, patient, other)
        return _answer(services, tx, message, None)
    return _answer(services, tx, message, _rework(services, tx, asked, org, patient, message.pathway))


def _key(*parts: str) -> bytes:
    return blake2b("\x1f".join(("epr", *parts)).encode(), digest_size=16).digest()


def _episode_id(org: str, patient: str, pathway: str) -> str:
    return f"epr-{_key(org, patient, pathway).hex()}"


# The patient -------------------------------------------------------------------------------------------------------


def _patient(services: Services, tx: Tx, asked: Asked, given: Json) -> str:
    """The one record that is meant; a Patient of the message that nobody knows yet is put on file."""
    if given.get("resourceType") == "Patient":
        numbers = [
            one
            for one in given.get("identifier", ())
            if isinstance(one, dict) and one.get("system") and one.get("value")
        ]
        if not numbers:
            raise Fault(
                "required", "the patient has no number; expected an identifier with system", "Patient.identifier"
            )
        resources.lock_match_keys(tx, sorted(_key(str(one["system"]), str(one["value"])) for one in numbers))
        for one in numbers:
            if found := _known(tx, information.Names(identifiers=(Token(str(one["system"]), str(one["value"])),))):
                return found
        made = create.apply(
            services, tx, asked, "Patient", {k: v for k, v in given.items() if k not in ("id", "meta", "link")}
        )
        return str(made.headers["Location"].split("/fhir/")[1].split("/_history")[0])
    text, identifier = given.get("reference"), given.get("identifier")
    if isinstance(text, str):
        names = information.Names(ids=(text.rpartition("Patient/")[2],))
    else:
        system, value = (identifier or {}).get("system"), (identifier or {}).get("value")
        names = information.Names(identifiers=(Token(str(system), str(value)),))
    found = _known(tx, names)
    if found is None:
        raise Fault(
            "unprocessable",
            "the patient is not known here, or is not one; expected one who is, or a Patient in the message",
        )
    return found


def _known(tx: Tx, names: information.Names) -> str | None:
    """The record itself, not another that it is joined with; the first where several share a number."""
    known = information.of_names(tx, names, [], None)
    ids = sorted(known.records.values())
    if names.ids:
        return next((one for one in ids if one == f"Patient/{names.ids[0]}"), None)
    token = names.identifiers[0]
    found = resolver(tx)(f"identifier:{token.system}|{token.code}")
    return found if found in ids else (ids[0] if len(ids) == 1 else None)


def _relink(services: Services, tx: Tx, asked: Asked, one: str, other: str) -> None:
    """The two records with the links that all that was said of them makes. What is on file of either counts for both
    while one is replaced by the other (P18); told apart again, each has its own."""
    resources.lock_match_keys(tx, [_key("link", *sorted((one, other)))])
    said = [
        Joining(each.org, each.at, each.effect, each.patient, each.visit, f"{each.sender}\x1f{each.control}")
        for each in events.of_records(tx, one, other, tuple(LINKED))
    ]
    wanted = links(said)
    going = ("replaced-by", "seealso") if wanted else ("replaced-by", "seealso", "replaces")
    for record, there in ((one, other), (other, one)):
        id = record.removeprefix("Patient/")
        stored = current(services, tx, asked, "Patient", id, "update")
        if stored is None or stored.deleted:
            raise Fault("unprocessable", "the patient is not known here; expected one who is", "MessageHeader.focus")
        patient = orjson.loads(stored.content)
        before = patient.pop("link", [])
        new = [{"type": kind, "other": {"reference": to}} for name, kind, to in sorted(wanted) if name == record]
        kept = [each for each in before if not (_to(each) == there and each.get("type") in going) or each in new]
        after = [*kept, *(each for each in new if each not in kept)]
        if after != before:
            update.apply(services, tx, asked, "Patient", id, patient | ({"link": after} if after else {}))


def _to(link: Json) -> str:
    return str(link.get("other", {}).get("reference", ""))


# The episode -------------------------------------------------------------------------------------------------------


def _rework(services: Services, tx: Tx, asked: Asked, org: str, patient: str, pathway: str) -> str:
    """The EpisodeOfCare as all its events make it; written where that is something new."""
    resources.lock_match_keys(tx, [_key(org, patient, pathway)])
    id = _episode_id(org, patient, pathway)
    logged = events.of_episode(tx, org, patient, pathway)
    episode = _episode(id, org, patient, pathway, [_event(one) for one in logged if one.effect not in LINKED])
    there = current(services, tx, asked, "EpisodeOfCare", id, "update")
    if there is None or there.deleted or _said(orjson.loads(there.content)) != _said(episode):
        update.apply(services, tx, asked, "EpisodeOfCare", id, episode)
    return id


def _event(one: Logged) -> Event:
    return Event(
        f"{one.sender}\x1f{one.control}", one.at, one.effect, frozenset(one.visit.split("\n")), one.low, one.high
    )


def _episode(id: str, org: str, patient: str, pathway: str, happened: list[Event]) -> Json:
    state = derive(happened)
    assert state is not None
    period = {"start": format_instant(state.start)}
    if state.end is not None:
        period["end"] = format_instant(state.end)
    episode: Json = {
        "resourceType": "EpisodeOfCare",
        "id": id,
        "status": state.status,
        "statusHistory": [
            {
                "status": one.status,
                "period": {"start": format_instant(one.start)}
                | ({"end": format_instant(one.end)} if one.end is not None else {}),
            }
            for one in history(happened)
        ],
        "patient": {"reference": patient},
        "managingOrganization": organization(org),
        "period": period,
    }
    if pathway:
        system, _, value = pathway.rpartition("|")
        episode["identifier"] = (
            [{"system": system, "value": value}] if system else [{"system": PATHWAYS, "value": pathway}]
        )
    return episode


def _said(episode: Json) -> Json:
    return {name: value for name, value in episode.items() if name not in ("meta", "text")}


def _answer(services: Services, tx: Tx, message: Message, episode: str | None) -> Answer:
    header: Json = {
        "resourceType": "MessageHeader",
        "id": str(uuid.uuid5(uuid.NAMESPACE_URL, f"{message.sender} {message.control}")),
        "eventCoding": {"system": "http://terminology.hl7.org/CodeSystem/v2-0003", "code": message.trigger},
        "source": {"endpoint": services.settings.base_url},
        "destination": [{"endpoint": message.sender}],
        "response": {"identifier": message.control, "code": "ok"},
    }
    if episode:
        header["focus"] = [{"reference": f"EpisodeOfCare/{episode}"}]
    bundle = {
        "resourceType": "Bundle",
        "type": "message",
        "timestamp": format_instant(tx.at),
        "entry": [{"fullUrl": f"urn:uuid:{header['id']}", "resource": header}],
    }
    return Answer(200, dump(bundle))
