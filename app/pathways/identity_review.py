"""Studies whose patient is in doubt: who waits, who it may be, and what a person decides about it.

Nothing is guessed. A study is attached to the patient whom a person names, with the words that the archive's headers
used: the same words of the same archive then mean that patient. It is written as any study is, so that access to it is
decided from scratch and subscribers learn of it. Each hold is a Task of the archive's organisation, which names nobody.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from app import observability
from app.access import audit, permissions
from app.access.subject import Subject
from app.fhir import merging
from app.fhir.identifier import NHS_NUMBER
from app.fhir.identifier import ODS_ORGANISATION as ODS
from app.fhir.outcome import Fault
from app.fhir.query import Query
from app.fhir.search import parse
from app.fhir.search_values import escaped
from app.fhir.study import STUDY_ORDER, in_order, uid_of
from app.fhir.temporal import format_instant
from app.interactions import Asked, Services, create, update
from app.interactions.carrying import carry
from app.storage import resources, reviews, search
from app.storage.engine import Tx
from app.storage.resources import Stored
from app.storage.reviews import HeldStudy

CODES = "https://imaging-registry.example/fhir/CodeSystem/duty"
CODE, COLLISION = "IDENTITY_REVIEW", "identity-collision"
REGION = Subject("registry-ingest", "steward", None, scopes=("system/*.cruds",))
MOST = 200


@dataclass(frozen=True, slots=True)
class Said:
    """What the archive's headers say of the patient. `numbers` are (system, value)."""

    name: str
    born: str | None
    sex: str | None
    numbers: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Candidate:
    """A patient with one of the numbers stated; `agrees` and `differs` name number, birth date and sex."""

    patient: str
    name: str
    born: str | None
    sex: str | None
    number: str | None
    agrees: tuple[str, ...]
    differs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Hold:
    """One study of one archive that waits. `organisation` is an ODS code, instants in microseconds UTC; `study`: what is
    known of it but for its patient."""

    id: str
    study_uid: str
    endpoint: str
    organisation: str
    code: str
    why: str
    received: int
    last: int
    said: Said
    candidates: tuple[Candidate, ...]
    study: Mapping[str, Any]


# What a person does ---------------------------------------------------------------------------------------------


def holds(services: Services, asked: Asked, most: int = MOST) -> list[Hold]:
    """What waits at the organisations of whoever asks, the longest first. Raises Fault forbidden."""

    def work(tx: Tx) -> list[Hold]:
        found = [_shown(services, tx, one) for one in reviews.waiting(tx, _orgs(services, tx, asked), most)]
        _recorded(tx, asked, "identity review, list", *found)
        return found

    return carry(services, asked, "operation", "ImagingStudy", work)


def hold(services: Services, asked: Asked, id: str) -> Hold:
    """One that waits. Raises Fault not-found, forbidden."""

    def work(tx: Tx) -> Hold:
        found = _shown(services, tx, _held(services, tx, asked, id))
        _recorded(tx, asked, "identity review, look", found)
        return found

    return carry(services, asked, "operation", "ImagingStudy", work)


def resolve(services: Services, asked: Asked, id: str, patient: str) -> list[str]:
    """Attach a study to `patient` (`Patient/x`), and every other that waits with the same words of the same archive; the
    study UIDs attached. Raises Fault not-found, forbidden, invalid for a patient who is not known, conflict where the
    study is known under another one."""
    patient = f"Patient/{patient.removeprefix('Patient/')}"

    def work(tx: Tx) -> HeldStudy:
        found = _held(services, tx, asked, id)
        if not _known(services, tx, patient):
            raise Fault("invalid", "no patient with this id is known; expected one who is", "patient")
        who = asked.subject.practitioner or asked.subject.user or asked.subject.client_id
        reviews.choose(tx, found.endpoint, found.stated, patient, who)
        _attach(services, tx, asked, found, patient)
        _recorded(tx, asked, "identity review, resolve", _shown(services, tx, found), patients=(patient,))
        return found

    first = carry(services, asked, "operation", "ImagingStudy", work)
    attached = [first.study_uid]
    with services.store.begin(reads=True) as tx:
        others = reviews.alike(tx, first)
    for one in others:
        try:
            services.store.retry(lambda tx, one=one: _attach(services, tx, asked, one, patient))  # type: ignore[misc]
            attached.append(one.study_uid)
        except Fault:  # it goes on waiting, for a reason of its own
            continue
    return attached


def dismiss(services: Services, asked: Asked, id: str, reason: str) -> None:
    """Attach a study to nobody: it waits no longer, until the archive says something else of its patient. Raises Fault
    not-found, forbidden, invalid without a reason."""
    if not reason.strip():
        raise Fault("invalid", "no reason is given; expected one", "reason")

    def work(tx: Tx) -> None:
        found = _held(services, tx, asked, id)
        reviews.set_aside(tx, found)
        _task(services, tx, found, "cancelled", reason.strip())
        _recorded(tx, asked, "identity review, dismiss", _shown(services, tx, found))

    carry(services, asked, "operation", "ImagingStudy", work)


# What ingest does -------------------------------------------------------------------------------------------------


def keep(services: Services, tx: Tx, held: HeldStudy) -> None:
    """Hold a study, with a Task for whoever is to look at it. An identity collision is an alarm too."""
    before = reviews.find(tx, held.study_uid, held.endpoint)
    state = reviews.keep(tx, held)
    if state == reviews.WAITING and (before is None or (before.state, before.code) != (state, held.code)):
        _task(services, tx, held, "requested")
        if held.code == COLLISION:
            observability.event("identity_collision", organisation=held.org, request_id=held.id)


def settle(services: Services, tx: Tx, study_uid: str, endpoint: str) -> None:
    """The study could be written: nothing of it waits any more."""
    held = reviews.find(tx, study_uid, endpoint)
    if held is not None:
        reviews.settle(tx, study_uid, endpoint)
        _task(services, tx, held, "completed")


def _attach(services: Services, tx: Tx, asked: Asked, held: HeldStudy, patient: str) -> None:
    sent = in_order({**orjson.loads(held.resource), "subject": {"reference": patient}}, STUDY_ORDER)
    region = Asked(REGION, asked.request_id)
    uid = uid_of(sent)
    assert uid is not None
    query = parse("ImagingStudy", [("identifier", f"urn:dicom:uid|urn:oid:{uid}")], at=tx.at)
    resources.lock_match_keys(tx, resources.match_keys(query))
    found = _found(services, tx, query)
    if not found:
        create.apply(services, tx, region, "ImagingStudy", sent)
    else:
        before = orjson.loads(found[0].content)
        if resources.same_person(tx, patient, found[0].patient):
            sent["subject"] = before["subject"]
        try:
            after = merging.merged(before, sent, held.endpoint)
        except merging.Collision as collision:
            raise Fault("conflict", str(collision), detail="IDENTITY_COLLISION") from None
        if before.get("status") == "entered-in-error":  # which a person has now looked at
            after["status"] = sent["status"]
        if after != before:
            update.apply(services, tx, region, "ImagingStudy", found[0].id, after)
    settle(services, tx, held.study_uid, held.endpoint)


# ------------------------------------------------------------------------------------------------------------------


def _orgs(services: Services, tx: Tx, asked: Asked) -> tuple[str, ...] | None:
    """The organisations for which the asker decides; None for all of them."""
    if asked.subject.kind == "steward":
        return None
    if not permissions.reads_privacy(asked.subject):
        raise Fault("forbidden", "whose a study is, is for the privacy role to say; expected that role")
    return tuple(sorted(services.enforcement.requester(tx, asked.subject).tree))


def _held(services: Services, tx: Tx, asked: Asked, id: str) -> HeldStudy:
    found = reviews.by_id(tx, id, _orgs(services, tx, asked))
    if found is None:
        raise Fault("not-found", "no study with this id waits; expected the id of one that does")
    return found


def _found(services: Services, tx: Tx, query: Query) -> list[Stored]:
    grant = services.enforcement.permit(tx, REGION, "update", query.type, query=query)
    return search.run(tx, grant, query).entries


def _known(services: Services, tx: Tx, patient: str) -> bool:
    id = patient.removeprefix("Patient/")
    found = resources.get(tx, services.enforcement.permit(tx, REGION, "update", "Patient", id=id), "Patient", id)
    return found is not None and not found.deleted


def _shown(services: Services, tx: Tx, held: HeldStudy) -> Hold:
    person, study = orjson.loads(held.person), orjson.loads(held.resource)
    numbers = tuple((one["system"], one["value"]) for one in person.get("identifiers", ()))
    said = Said(", ".join(person.get("name", ())), person.get("born"), person.get("sex"), numbers)
    kept = ("status", "started", "modality", "description", "numberOfSeries", "numberOfInstances")
    return Hold(
        held.id,
        held.study_uid,
        held.endpoint,
        held.org.removeprefix("ods:"),
        held.code,
        held.reason,
        held.first_at,
        held.last_at,
        said,
        tuple(_candidates(services, tx, said)),
        {name: study[name] for name in kept if name in study},
    )


def _candidates(services: Services, tx: Tx, said: Said) -> list[Candidate]:
    if not said.numbers:
        return []
    wanted = ",".join(f"{escaped(system)}|{escaped(value)}" for system, value in said.numbers)
    found = _found(services, tx, parse("Patient", [("identifier", wanted), ("_count", "20")], at=tx.at))
    return [_candidate(orjson.loads(one.content), said) for one in found]


def _candidate(patient: dict[str, Any], said: Said) -> Candidate:
    own = {(one.get("system"), one.get("value")) for one in patient.get("identifier", ())}
    born, sex = patient.get("birthDate"), patient.get("gender")
    shared = min(len(born or ""), len(said.born or ""))
    verdicts = [
        ("number", bool(own & set(said.numbers))),
        ("birth date", None if not (born and said.born) else born[:shared] == said.born[:shared]),
        ("sex", None if not (sex and said.sex) or sex == "unknown" else sex == said.sex),
    ]
    name: dict[str, Any] = next(iter(patient.get("name", ())), {})
    written = name.get("text") or " ".join([*name.get("given", ()), name.get("family", "")]).strip()
    return Candidate(
        f"Patient/{patient['id']}",
        written,
        born,
        sex,
        next((value for system, value in sorted(own, key=str) if system == NHS_NUMBER), None),
        tuple(what for what, verdict in verdicts if verdict is True),
        tuple(what for what, verdict in verdicts if verdict is False),
    )


def _task(services: Services, tx: Tx, held: HeldStudy, status: str, note: str = "") -> None:
    """The hold as a Task of its organisation's privacy desk: the same one for the same hold, whatever becomes of it."""
    kind, _, code = held.org.partition(":")
    owner = {"identifier": {"system": ODS, "value": code}} if kind == "ods" else {"reference": held.org}
    task: dict[str, Any] = {
        "resourceType": "Task",
        "id": held.id,
        "status": status,
        "intent": "order",
        "code": {"coding": [{"system": CODES, "code": CODE}]},
        "description": f"a study waits for its patient to be found: {held.reason}",
        "focus": {"reference": held.endpoint},
        "authoredOn": format_instant(held.first_at or tx.at),
        "lastModified": format_instant(tx.at),
        "owner": owner,
        "reasonCode": {"coding": [{"system": CODES, "code": held.code}]},
    }
    if note:
        task["note"] = [{"text": note}]
    desk = Subject(REGION.client_id, "user", held.org, role="privacy", scopes=("user/Task.cruds",))
    update.apply(services, tx, Asked(desk), "Task", held.id, task)


def _recorded(tx: Tx, asked: Asked, what: str, *shown: Hold, patients: tuple[str, ...] = ()) -> None:
    named = dict.fromkeys([*patients, *(one.patient for each in shown for one in each.candidates)])
    audit.record(
        tx,
        asked.subject,
        None,
        "operation",
        "ImagingStudy",
        status=200,
        detail=what,
        request_id=asked.request_id,
        named=tuple(named),
    )
