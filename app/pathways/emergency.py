"""Emergency referral or transfer: A refers a patient to the specialist team at B, and B sees the images at once, for the
region's hours from then (P8; nhs.md, section 4). The referral is a ServiceRequest, which record systems write as such.

It is renewed by A with another, and closed by the episode at B: when that has ended, or when the time is over.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import Any

import orjson

from app.access import audit
from app.access.subject import Subject
from app.fhir.outcome import Fault
from app.fhir.search import parse
from app.fhir.temporal import MINUTE, format_instant, interval
from app.interactions import Asked, Services
from app.interactions.carrying import carry
from app.pathways import people
from app.pathways.making import BASE, code_of, concept, organization
from app.policy.grant import Grant
from app.storage import agenda, resources, search
from app.storage.agenda import Item
from app.storage.engine import Tx
from app.storage.resources import Stored

Json = dict[str, Any]

REFERRALS = f"{BASE}/Id/emergency-referral"
CODES = f"{BASE}/CodeSystem/registry-referral"
HOUR = 60 * MINUTE
LOOK = "emergency-referral"
CLOSED = {"ended": "the time of the referral is over", "episode": "the episode at the other side has ended",
          "sender": "closed by the sender", "receiver": "closed by the receiver", "renewed": "renewed by another"}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Plea:
    """What is asked. `patient` by NHS number or "Patient/id"; `to` the ODS code of the specialist team's organisation."""

    patient: str
    to: str
    reason: str
    priority: str = "stat"


@dataclass(frozen=True, slots=True)
class Referral:
    """`state`: open, or why it is closed (a key of CLOSED). `sender` and `to` are ODS codes; `mine`: sent by the asker's
    organisation; instants in µs UTC."""

    id: str
    patient: str
    name: str
    number: str
    sender: str
    to: str
    priority: str
    reason: str
    begun: int
    until: int
    state: str
    mine: bool


def refer(services: Services, asked: Asked, plea: Plea, *, submission: str = "") -> Referral:
    """Open the patient's images to the other organisation at once. The same `submission` again gives the same referral.

    Raises Fault forbidden, or unprocessable and value with the field as expression."""

    def work(tx: Tx) -> Referral:
        people.may_open(services, asked.subject, "ServiceRequest")
        by = submission or secrets.token_hex(16)
        id = f"referral-{blake2b(f'{asked.subject.organisation} {by}'.encode(), digest_size=10).hexdigest()}"
        resources.lock_match_keys(tx, [blake2b(id.encode(), digest_size=16).digest()])
        there = resources.get(tx, _sight(services, tx, asked.subject.organisation), "ServiceRequest", id)
        if there is None:
            patient, to = _checked(services, tx, asked.subject, plea)
            there = _made(services, tx, asked, patient, to, plea.reason.strip(), plea.priority, id)
        return _told(services, tx, asked, there)

    return carry(services, asked, "create", "ServiceRequest", work)


def _checked(services: Services, tx: Tx, subject: Subject, plea: Plea) -> tuple[str, str]:
    priorities = services.enforcement.switches.referral_priorities
    if plea.priority not in priorities:
        raise Fault("value", f"not a priority that opens anything; expected one of {', '.join(priorities)}", "priority")
    if not plea.reason.strip() or len(plea.reason) > 2000:
        raise Fault("required", "missing, or too long; expected the reason in at most 2000 characters", "reason")
    to = people.organisation(services, tx, plea.to, "to")
    if to in services.enforcement.requester(tx, subject).tree:
        raise Fault("value", "your own organisation, which needs no referral; expected another", "to")
    return people.in_care(services, tx, subject, plea.patient, "patient")[0], to


def _made(
    services: Services, tx: Tx, asked: Asked, patient: str, to: str, reason: str, priority: str, id: str,
    before: Stored | None = None,
) -> Stored:  # fmt: skip
    subject = asked.subject
    request: Json = {
        "resourceType": "ServiceRequest",
        "identifier": [{"system": REFERRALS, "value": id}],
        "status": "active",
        "intent": "order",
        "priority": priority,
        "code": concept(CODES, "emergency-referral"),
        "subject": {"reference": patient},
        "authoredOn": format_instant(tx.at),
        "requester": organization(subject.organisation or ""),
        "performer": [organization(to)],
        "reasonCode": [{"text": reason}],
    }
    if before is not None:
        request["replaces"] = [{"reference": before.ref}]
    services.validator.check(request)
    made = resources.create(tx, _sight(services, tx, subject.organisation), request, id, "PUT")
    agenda.put(tx, Item(LOOK, id, tx.at + HOUR))
    _record(services, tx, asked, "create", 201, [made], "emergency referral")
    return made


def _sight(services: Services, tx: Tx, writer: str | None) -> Grant:
    return replace(services.enforcement.for_deciding(tx, "REFERRAL", "ServiceRequest", "Patient"), writer=writer)


def _record(
    services: Services, tx: Tx, asked: Asked, interaction: str, status: int, shown: list[Stored], detail: str
) -> None:
    audit.record(
        tx, asked.subject, services.enforcement.for_deciding(tx, "REFERRAL"), interaction, "ServiceRequest",
        status=status, disclosed=shown, detail=detail, request_id=asked.request_id,
    )  # fmt: skip


# What there is -----------------------------------------------------------------------------------------------------


def open_ones(services: Services, asked: Asked, *, closed: bool = False, most: int = 100) -> list[Referral]:
    """The referrals that the asker's organisation has sent or been sent, the newest first; those that are closed too,
    where asked for."""

    def work(tx: Tx) -> list[Referral]:
        pairs = [("identifier", f"{REFERRALS}|"), ("_count", str(most)), ("_sort", "-authored")]
        pairs += [] if closed else [("status", "active")]
        query = parse("ServiceRequest", pairs, base_url=services.settings.base_url, zone=tx.zone, at=tx.at)
        grant = services.enforcement.permit(tx, asked.subject, "search-type", "ServiceRequest", query=query)
        found = search.run(tx, grant, query).entries
        told = [(one, _told(services, tx, asked, one)) for one in found]
        kept = [
            (one, said) for one, said in told if _ours(services, tx, asked, said) and (closed or said.state == "open")
        ]
        _record(services, tx, asked, "search-type", 200, [one for one, _ in kept], "emergency referrals")
        return [said for _, said in kept]

    return carry(services, asked, "search-type", "ServiceRequest", work)


def _ours(services: Services, tx: Tx, asked: Asked, one: Referral) -> bool:
    tree = services.enforcement.requester(tx, asked.subject).tree
    return one.mine or f"ods:{one.to}" in tree


def renew(services: Services, asked: Asked, id: str, *, submission: str = "") -> Referral:
    """The same for as long again from now, by another referral that replaces it: by the sender alone, who still cares for
    the patient."""

    def work(tx: Tx) -> Referral:
        one, said = _one(services, tx, asked, id)
        if not said.mine:
            text = "a referral is renewed by whoever sent it; expected the sender"
            raise Fault("forbidden", text, detail="ACCESS_DENIED")
        by = blake2b(f"{id} {submission or secrets.token_hex(16)}".encode(), digest_size=10).hexdigest()
        again = resources.get(tx, _sight(services, tx, None), "ServiceRequest", f"referral-{by}")
        if again is not None:
            return _told(services, tx, asked, again)
        patient, to = _checked(services, tx, asked.subject, Plea(said.patient, said.to, said.reason, said.priority))
        made = _made(services, tx, asked, patient, to, said.reason, said.priority, f"referral-{by}", one)
        if said.state == "open":
            _close(services, tx, one, "renewed")
        return _told(services, tx, asked, made)

    return carry(services, asked, "create", "ServiceRequest", work)


def close(services: Services, asked: Asked, id: str) -> Referral:
    """End it now: by whoever sent it, or was sent it. Closed already: as it is."""

    def work(tx: Tx) -> Referral:
        one, said = _one(services, tx, asked, id)
        if said.state != "open":
            return said
        changed = _close(services, tx, one, "sender" if said.mine else "receiver")
        _record(services, tx, asked, "update", 200, [changed], "emergency referral closed")
        return _told(services, tx, asked, changed)

    return carry(services, asked, "update", "ServiceRequest", work)


def _one(services: Services, tx: Tx, asked: Asked, id: str) -> tuple[Stored, Referral]:
    people.may_open(services, asked.subject, "ServiceRequest")
    grant = services.enforcement.permit(tx, asked.subject, "read", "ServiceRequest", id=id)
    found = resources.get(tx, grant, "ServiceRequest", id) if id.startswith("referral-") else None
    if found is not None and not found.deleted:
        said = _told(services, tx, asked, found)
        if _ours(services, tx, asked, said):
            return found, said
    raise Fault("not-found", "no such referral here; expected the id of one", detail="RESOURCE_NOT_FOUND")


def _close(services: Services, tx: Tx, one: Stored, why: str) -> Stored:
    request = orjson.loads(one.content)
    note = {"time": format_instant(tx.at), "text": CLOSED[why]}
    changed = request | {"status": "completed" if why != "sender" else "revoked"}
    changed |= {"note": [*request.get("note", ()), note], "orderDetail": [concept(CODES, why)]}
    agenda.drop(tx, LOOK, one.id)
    return resources.update(tx, _sight(services, tx, one.owner), one, changed)


def _told(services: Services, tx: Tx, asked: Asked, one: Stored) -> Referral:
    request = orjson.loads(one.content)
    begun = interval(request["authoredOn"], tx.zone)[0]
    until = begun + services.enforcement.switches.referral_hours * HOUR
    why = code_of(next(iter(request.get("orderDetail", ())), None))
    state = why or "closed" if request["status"] != "active" else "open" if tx.at < until else "ended"
    patient = request["subject"]["reference"]
    name, number = people.name_and_number(tx, _sight(services, tx, None), patient)
    return Referral(
        id=one.id,
        patient=patient,
        name=name,
        number=number,
        sender=(one.owner or "").removeprefix("ods:"),
        to=request["performer"][0].get("identifier", {}).get("value", ""),
        priority=request["priority"],
        reason=request["reasonCode"][0]["text"],
        begun=begun,
        until=until,
        state=state,
        mine=one.owner in services.enforcement.requester(tx, asked.subject).tree,
    )


# The worker --------------------------------------------------------------------------------------------------------


def look(services: Services, tx: Tx, id: str) -> None:
    """Whether a referral is over: its time, or the episode that followed it at the other side. Else to be looked at
    again."""
    found = resources.get(tx, _sight(services, tx, None), "ServiceRequest", id)
    if found is None or found.deleted:
        return
    request = orjson.loads(found.content)
    if request["status"] != "active":
        return
    begun = interval(request["authoredOn"], tx.zone)[0]
    until = begun + services.enforcement.switches.referral_hours * HOUR
    if tx.at >= until:
        _close(services, tx, found, "ended")
    elif _episode_ended(services, tx, request, begun):
        _close(services, tx, found, "episode")
    else:
        agenda.put(tx, Item(LOOK, id, min(tx.at + HOUR, until)))


def _episode_ended(services: Services, tx: Tx, request: Json, begun: int) -> bool:
    """An episode of the patient at the other side ended after the referral, and none goes on."""
    query = parse("EpisodeOfCare", [("patient", request["subject"]["reference"]), ("_count", "100")], base_url="",
                  zone=tx.zone, at=tx.at)  # fmt: skip
    grant = services.enforcement.for_deciding(tx, "REFERRAL", "EpisodeOfCare")
    tree = services.enforcement.organisations_of(tx).tree(f"ods:{request['performer'][0]['identifier']['value']}")
    there = [orjson.loads(one.content) for one in search.run(tx, grant, query).entries if one.owner in tree]
    over = [
        one
        for one in there
        if one["status"] == "finished"
        and "end" in one.get("period", {})
        and interval(one["period"]["end"], tx.zone)[1] > begun
    ]
    return bool(over) and all(one["status"] not in ("planned", "active", "onhold", "waitlist") for one in there)
