"""ImagingStudy/$explain-access: why a requester may or may not see the studies of a patient, or one study.

The privacy role asks for anyone, and is told every rule. Anyone else asks for themselves, and is told why they see what
they see: of what is withheld from them there is nothing here either, as if it did not exist (README.md, P25).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from app.access import audit, permissions
from app.access.explain import Explained, explained
from app.access.information import Names
from app.access.subject import Subject
from app.fhir.identifier import ODS_ORGANISATION
from app.fhir.outcome import Fault
from app.fhir.query import Token
from app.fhir.resource import dump
from app.fhir.temporal import interval
from app.interactions import Answer, Asked, Services
from app.interactions.carrying import carry
from app.interactions.read import unknown
from app.policy.model import ROLES
from app.policy.organisation import key_from
from app.storage import persons, resources
from app.storage.engine import Tx

Pairs = Sequence[tuple[str, str]]
OPTIONS = ("patient", "study", "organization", "practitioner", "role", "purpose", "at")
OF_OTHERS = OPTIONS[2:]


def explain_access(services: Services, asked: Asked, pairs: Pairs, id: str | None = None) -> Answer:
    """Parameters with one `decision` a study. Raises Fault invalid, forbidden, or not-found as a read would."""
    options: dict[str, str] = {}
    for name, value in pairs:
        if name in ("_format", "_pretty"):
            continue
        if name not in OPTIONS or name in options or (id is not None and name in ("patient", "study")):
            raise Fault("invalid", f"not known here, or given twice; expected one each of {', '.join(OPTIONS)}", name)
        options[name] = value
    if id is None and "patient" not in options and "study" not in options:
        raise Fault("invalid", "neither patient nor study; expected one of them", "patient")
    if id is not None:
        options["study"] = id
    return carry(services, asked, "operation", "ImagingStudy", lambda tx: _answer(services, tx, asked, options))


def _answer(services: Services, tx: Tx, asked: Asked, options: dict[str, str]) -> Answer:
    subject, privacy = asked.subject, permissions.reads_privacy(asked.subject)
    if not privacy and any(name in options for name in OF_OTHERS):
        text = "another's access is explained to the privacy role alone; expected nothing but patient or study"
        raise Fault("forbidden", text, detail="ACCESS_DENIED")
    names = _patient(services, tx, subject, options)
    who, at = (_other(subject, options), _at(tx, options)) if privacy else (subject, tx.at)
    only = options.get("study", "").removeprefix("ImagingStudy/") or None
    found = explained(tx, services.enforcement, who, names, at, only)
    if only is not None or not privacy:  # "no study is on file" would tell that those withheld are
        found = [one for one in found if one.ref is not None]
    if not privacy:
        found = [one for one in found if one.effect != "DENY"]
    if only is not None and not found:
        raise unknown("ImagingStudy")
    audit.record(
        tx, subject, None, "operation", "ImagingStudy", status=200, detail="$explain-access",
        request_id=asked.request_id, named=tuple(f"Patient/{id}" for id in names.ids),
    )  # fmt: skip
    told = [_told(one, whole=privacy) for one in found]
    return Answer(200, dump({"resourceType": "Parameters", **({"parameter": told} if told else {})}))


def _patient(services: Services, tx: Tx, subject: Subject, options: dict[str, str]) -> Names:
    """The patient asked about, whom the asker must be able to see, or whose study it is that is asked about."""
    enforcement = services.enforcement
    if "patient" not in options:
        id = options["study"].removeprefix("ImagingStudy/")
        privacy = permissions.reads_privacy(subject)
        grant = (
            enforcement.for_study(tx, subject, id)
            if privacy
            else enforcement.permit(tx, subject, "read", "ImagingStudy", id=id)
        )
        found = resources.get(tx, grant, "ImagingStudy", id)
        if found is None or found.deleted:
            raise unknown("ImagingStudy")
        return Names(ids=persons.patient_ids(tx, found.patient))
    text = options["patient"]
    if "|" in text:
        system, _, value = text.partition("|")
        ids = persons.patients_by(tx, Token(system, value))
    else:
        ids = (text.removeprefix("Patient/"),)
    for id in ids:
        grant = enforcement.permit(tx, subject, "read", "Patient", id=id)
        if resources.get(tx, grant, "Patient", id) is not None:
            return Names(ids=(id,))
    raise unknown("Patient")


def _other(subject: Subject, options: dict[str, str]) -> Subject:
    """The requester whose access is to be explained, as `explain` on the command line has it."""
    person = options.get("practitioner")
    role = options.get("role") or ("clinician" if person else "system")
    if role not in ROLES:
        raise Fault("invalid", f"not a role; expected one of {', '.join(ROLES)}", "role")
    org = options.get("organization", "")
    key = key_from(ODS_ORGANISATION, org) if org else subject.organisation
    return replace(
        subject,
        client_id="explain",
        kind="backend",
        organisation=key,
        role=role,
        purpose=options.get("purpose", "TREAT") or None,
        practitioner=f"Practitioner/{person.removeprefix('Practitioner/')}" if person else None,
        expires=None,
        emergency=None,
    )


def _at(tx: Tx, options: dict[str, str]) -> int:
    try:
        return interval(options["at"], tx.zone)[0] if "at" in options else tx.at
    except ValueError as error:
        raise Fault("invalid", "not a date or time; expected one like 2026-03-10T10:00:00Z", "at") from error


def _told(one: Explained, *, whole: bool) -> dict[str, Any]:
    part: list[dict[str, Any]] = [{"name": "effect", "valueCode": one.effect}]
    if one.ref is not None:
        part.insert(0, {"name": "study", "valueReference": {"reference": one.ref}})
    part += [{"name": "reason", "valueCode": reason} for reason in one.reasons]
    if one.expires is not None:
        part.append({"name": "expires", "valueInstant": one.expires})
    if whole:
        part += [{"name": "basis", "valueString": item} for item in one.basis]
        part += [{"name": "rule", "part": _rule(step)} for step in one.steps]
    return {"name": "decision", "part": part}


def _rule(step: Any) -> list[dict[str, Any]]:
    said: list[dict[str, Any]] = [
        {"name": "name", "valueCode": step.rule},
        {"name": "clause", "valueString": step.clause},
        {"name": "verdict", "valueString": step.verdict},
    ]
    if step.because:
        said.append({"name": "because", "valueString": step.because})
    return said + [{"name": "note", "valueString": note} for note in step.notes]
