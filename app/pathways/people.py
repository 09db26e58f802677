"""Whom a pathway is about and who may open it: patients by number or reference, people and organisations by what is on
file; and the one test for those who let others in."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import orjson

from app.access import information, permissions
from app.access.scopes import authorize
from app.access.subject import Subject
from app.fhir.identifier import NHS_NUMBER
from app.fhir.outcome import Fault
from app.fhir.query import Token
from app.interactions import Services
from app.policy.grant import Grant
from app.storage import resources
from app.storage.engine import Tx
from app.storage.projection import resolver

SHARERS = ("clinician", "clerical")


def may_open(services: Services, subject: Subject, type_name: str) -> None:
    """Raises Fault forbidden unless the subject is a record system that keeps the type, or somebody of the staff in
    person. What they open is for others: nobody opens anything for themselves."""
    authorize(subject, type_name, "read")
    system = permissions.may_write(subject, type_name, "create")
    person = subject.role in SHARERS and subject.practitioner is not None and subject.organisation is not None
    if system:
        services.enforcement.check_writer(subject, "create", type_name)
    elif not person:
        text = (
            f"this client may not write {type_name}; expected a record system, or a clinician or coordinator in person"
        )
        raise Fault("forbidden", text, detail="ACCESS_DENIED")


def in_care(services: Services, tx: Tx, subject: Subject, name: str, place: str) -> tuple[str, int]:
    """(reference, rid) of the patient whom a number or reference names, if the subject's organisation cares for them.
    Raises Fault unprocessable, the same for whoever is unknown and whoever is not in care."""
    text = "".join(name.split())
    number = text.rpartition("|")[2]
    if number.isascii() and number.isdecimal():
        names = information.Names(identifiers=(Token(text.rpartition("|")[0] or NHS_NUMBER, number),))
    else:
        names = information.Names(ids=(text.removeprefix("Patient/"),))
    known = information.of_names(tx, names, [], None)
    cares: Callable[[str], bool] = services.enforcement.cares(tx, subject)
    for rid, reference in sorted(known.records.items()):
        named = not names.ids or reference == f"Patient/{names.ids[0]}"
        if len(known.groups) == 1 and named and cares(reference.removeprefix("Patient/")):
            return reference, rid
    raise Fault("unprocessable", "not a patient in your organisation's care; expected one who is", place)


def organisation(services: Services, tx: Tx, ods: str, place: str) -> str:
    """The key of an organisation that is on file. Raises Fault value."""
    key = f"ods:{ods.strip().upper()}"
    if all(one.key != key for one in services.enforcement.organisations_of(tx).entries):
        raise Fault("value", "not an organisation that is known here; expected the ODS code of one", place)
    return key


def practitioners(tx: Tx, named: Sequence[str], place: str) -> list[str]:
    """References of people on file, by reference, or by identifier as system|value. Raises Fault value."""
    found = []
    for name in dict.fromkeys(one.strip() for one in named):
        if "|" in name:
            reference = resolver(tx)(f"identifier:{name}") or ""
        else:
            reference = f"Practitioner/{name.removeprefix('Practitioner/')}"
        id = reference.removeprefix("Practitioner/")
        if not reference.startswith("Practitioner/") or not resources.taken(tx, "Practitioner", id):
            raise Fault("value", "somebody who is not known here; expected a Practitioner who is", place)
        found.append(reference)
    return list(dict.fromkeys(found))


def name_and_number(tx: Tx, grant: Grant, reference: str) -> tuple[str, str]:
    """How the patient is called, and the NHS number, as far as the grant shows the record."""
    found = resources.get(tx, grant, "Patient", reference.removeprefix("Patient/"))
    patient: dict[str, Any] = orjson.loads(found.content) if found is not None and not found.deleted else {}
    name: dict[str, Any] = next(iter(patient.get("name", ())), {})
    number = next(
        (one.get("value", "") for one in patient.get("identifier", ()) if one.get("system") == NHS_NUMBER), ""
    )
    return " ".join(filter(None, [*name.get("given", ()), name.get("family", "")])), number
