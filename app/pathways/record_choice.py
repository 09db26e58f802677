"""Consent/$record-choice: a patient's decision takes effect, as one step.

The new Consent becomes active; the same record's older unfiltered choices of the domain become inactive, none is edited
or deleted; a Provenance says who recorded it, a Task that it was done, a Communication asks that the patient be told;
and the feed of changes tells subscribers. All of it or nothing, and once: the same request again gives the same answer.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import orjson

from app.access import audit
from app.access.information import Names, of_names
from app.fhir.identifier import ODS_ORGANISATION
from app.fhir.lossless import dump
from app.fhir.outcome import Fault
from app.fhir.query import Token
from app.fhir.search import parse
from app.fhir.temporal import format_instant
from app.interactions import Answer, Asked, Services
from app.interactions.carrying import carry
from app.pathways.making import BASE, TERMINOLOGY, concept
from app.pathways.parameters import read as parameters_of
from app.policy.directive import Directive, compile_consent
from app.policy.grant import Grant
from app.policy.person import Person
from app.storage import resources, search
from app.storage.engine import Tx
from app.storage.projection import resolver
from app.storage.resources import Stored

Json = dict[str, Any]

POLICY = f"{BASE}/policy/sharing"
NUMBER = f"{BASE}/Id/choice"
CODES = f"{BASE}/CodeSystem/choice"
CHOICES = {"opt-out": ("OPTOUT", "deny"), "opt-in": ("OPTIN", "permit")}
MEMBERS = {
    "patient": ("valueReference", "valueIdentifier"),
    "choice": ("valueCode",),
    "dateTime": ("valueDateTime",),
    "performer": ("valueReference",),
    "organization": ("valueReference",),
    "source": ("valueAttachment", "valueReference"),
    "policy": ("valueUri",),
    "consent": ("resource",),
    "identifier": ("valueIdentifier",),
}


@dataclass(frozen=True)
class Wish:
    """What the parameters say. `provision` holds what goes beyond a plain yes or no."""

    patient: Json
    choice: str
    given: Mapping[str, Json]
    provision: Json

    @property
    def number(self) -> str | None:
        """The number by which this request is known again: the form's own, or one made of what it says."""
        if "identifier" in self.given:
            return str(self.given["identifier"].get("value", "")) or None
        if "dateTime" not in self.given:
            return None
        said = [self.patient, self.choice, dict(self.given), self.provision]
        return blake2b(orjson.dumps(said, option=orjson.OPT_SORT_KEYS), digest_size=16).hexdigest()


def record_choice(services: Services, asked: Asked, parameters: Json) -> Answer:
    """201 with Parameters that name everything made; 200 where it was made before. Raises Fault."""
    services.enforcement.check_writer(asked.subject, "create", "Consent")
    wish = read(parameters)
    return carry(services, asked, "operation", "Consent", lambda tx: _recorded(services, tx, asked, wish))


def read(parameters: Json) -> Wish:
    """The wish. Raises Fault invalid or required, naming the parameter."""
    given = parameters_of(parameters, MEMBERS, ("patient", "choice"))
    choice, patient = given.pop("choice"), given.pop("patient")
    if choice not in CHOICES:
        raise Fault("value", "the choice is not known; expected opt-out or opt-in", "Parameters.parameter")
    if "dateTime" in given and not re.match(r"\d{4}(-\d\d){0,2}", given["dateTime"]):
        raise Fault("value", "the dateTime is not one; expected one like 2026-03-10T10:00:00Z", "Parameters.parameter")
    consent = given.pop("consent", {})
    provision = consent.get("provision", {})
    if not isinstance(provision, dict) or provision.get("type", CHOICES[choice][1]) != CHOICES[choice][1]:
        raise Fault(
            "value", "the provision says another thing than the choice; expected the same", "Parameters.parameter"
        )
    return Wish(patient, choice, given, {key: value for key, value in provision.items() if key != "type"})


def _recorded(services: Services, tx: Tx, asked: Asked, wish: Wish) -> Answer:
    reference, _ = _patient(tx, wish)
    hold_choices(tx, reference)
    now = services.store.clock()  # whoever waited for another choice has made theirs after it
    _, person = _patient(tx, wish)
    sight = services.enforcement.for_deciding(tx, "CHOICE", "Consent", "Provenance", patients=None)
    if before := _before(tx, sight, wish, reference, person):
        return _answer(before, _superseded(tx, sight, before), 200)
    content = _consent(services, asked, wish, reference, now)
    grant = services.enforcement.permit_write(tx, asked.subject, "create", content)
    services.validator.check(content)
    made = compile_consent(content | {"id": "new"}, resolver(tx), tx.zone)
    old = older(made, of_record(person, reference)) if made.unfiltered else []
    gone = [ended(tx, grant, sight, one) for one in old]
    consent = resources.create(tx, grant, content)
    others = [provenance(asked, consent, gone, now), _task(consent, reference, now), _notice(consent, reference)]
    for resource, name in zip(others, ("provenance", "task", "notice"), strict=True):
        services.validator.check(resource)
        resources.create(tx, grant, resource, f"{consent.id}-{name}")
    _account(tx, asked, grant, consent, gone)
    return _answer(consent, [one.ref for one in gone], 201)


def hold_choices(tx: Tx, reference: str) -> None:
    """Hold off any other choice of the patient until the transaction ends: whoever comes back from here is next."""
    resources.lock_match_keys(tx, [blake2b(f"record-choice {reference}".encode(), digest_size=16).digest()], now=True)


def _patient(tx: Tx, wish: Wish) -> tuple[str, Person]:
    """The one patient that is meant, and what is on file."""
    text, identifier = str(wish.patient.get("reference", "")), wish.patient.get("identifier", wish.patient)
    if text:
        names = Names(ids=(text.removeprefix("Patient/"),))
    else:
        system, value = (
            (identifier.get("system"), identifier.get("value")) if isinstance(identifier, dict) else (None, None)
        )
        if not isinstance(system, str) or not isinstance(value, str):
            raise Fault(
                "value", "the patient is not named; expected a reference or an identifier with system", "patient"
            )
        names = Names(identifiers=(Token(system, value),))
    known = of_names(tx, names, [], None)
    met = [name for name in known.records.values() if not text or name == f"Patient/{text.removeprefix('Patient/')}"]
    if len(known.groups) != 1 or not met:
        raise Fault("unprocessable", "the patient is not known here, or is not one; expected one that is", "patient")
    return met[0], known.groups[0].person


def _before(tx: Tx, sight: Grant, wish: Wish, reference: str, person: Person) -> Stored | None:
    """The Consent that this request has made before, or the choice in force that says the same."""
    if wish.number is not None:
        system = wish.given.get("identifier", {}).get("system") or NUMBER
        pairs = [("identifier", f"{system}|{wish.number}"), ("_count", "1")]
        entries = search.run(tx, sight, parse("Consent", pairs, base_url="", zone=tx.zone, at=tx.at)).entries
        return entries[0] if entries else None
    if wish.provision or wish.given.keys() - {"organization"}:
        return None
    active = sorted(of_record(person, reference), key=lambda one: one.issued or (0, 0))
    newest = active[-1] if active else None
    same = newest is not None and newest.unfiltered and not newest.root.children and not newest.faults and newest.own
    if newest is None or not same or newest.domain != (POLICY,) or newest.root.permit != (wish.choice == "opt-in"):
        return None
    return resources.get(tx, sight, "Consent", newest.source.removeprefix("Consent/"))


def of_record(person: Person, reference: str) -> list[Directive]:
    return [one for one in person.directives if one.status == "active" and one.patient in (None, reference)]


def older(made: Directive, active: list[Directive]) -> list[Directive]:
    """The choices that the new one puts out of force: unfiltered, of its domain, and not made after it."""
    newest = made.issued[1] if made.issued else None
    return [
        one
        for one in active
        if one.unfiltered and one.domain == made.domain and (newest is None or not one.issued or one.issued[0] < newest)
    ]


def ended(tx: Tx, grant: Grant, sight: Grant, one: Directive) -> Stored:
    current = resources.get(tx, sight, "Consent", one.source.removeprefix("Consent/"))
    if current is None or current.deleted:
        raise Fault("transient", "a choice changed while this one was recorded; expected to succeed when tried again")
    return resources.update(tx, grant, current, orjson.loads(current.content) | {"status": "inactive"})


# What is made -----------------------------------------------------------------------------------------------------


def _consent(services: Services, asked: Asked, wish: Wish, reference: str, at: int) -> Json:
    act, kind = CHOICES[wish.choice]
    given = wish.given
    source = given.get("source") or {"title": "decision told to the recorder"}
    organization = given.get("organization") or {"identifier": {"system": ODS_ORGANISATION, "value": asked.subject.ods}}
    consent: Json = {
        "resourceType": "Consent",
        "status": "active",
        "scope": concept(f"{TERMINOLOGY}/consentscope", "patient-privacy"),
        "category": [concept("http://loinc.org", "59284-0")],
        "patient": {"reference": reference},
        "dateTime": given.get("dateTime") or format_instant(at),
        "performer": [given.get("performer") or {"reference": reference}],
        "organization": [organization],
        ("sourceReference" if "reference" in source else "sourceAttachment"): source,
        "policy": [{"uri": given.get("policy") or POLICY}],
        "policyRule": concept(f"{TERMINOLOGY}/v3-ActCode", act),
        "provision": {"type": kind} | wish.provision,
    }
    if "identifier" in given:
        consent["identifier"] = [given["identifier"]]
    elif wish.number is not None:
        consent["identifier"] = [{"system": NUMBER, "value": wish.number}]
    return consent


def provenance(asked: Asked, consent: Stored, ended: list[Stored], at: int) -> Json:
    subject = asked.subject
    who: Json = (
        {"reference": subject.practitioner} if subject.practitioner else {"identifier": {"value": subject.client_id}}
    )
    agent: Json = {"type": concept(f"{TERMINOLOGY}/provenance-participant-type", "enterer"), "who": who}
    if subject.ods:
        agent["onBehalfOf"] = {"identifier": {"system": ODS_ORGANISATION, "value": subject.ods}}
    made: Json = {
        "resourceType": "Provenance",
        "target": [{"reference": one.versioned} for one in (consent, *ended)],
        "recorded": format_instant(at),
        "activity": concept(CODES, "record-choice"),
        "agent": [agent],
    }
    if ended:
        made["entity"] = [
            {"role": "revision", "what": {"reference": f"{one.ref}/_history/{one.version - 1}"}} for one in ended
        ]
    return made


def _task(consent: Stored, reference: str, at: int) -> Json:
    return {
        "resourceType": "Task",
        "status": "completed",
        "intent": "order",
        "code": concept(CODES, "record-choice"),
        "focus": {"reference": consent.ref},
        "for": {"reference": reference},
        "authoredOn": format_instant(at),
        "lastModified": format_instant(at),
    }


def _notice(consent: Stored, reference: str) -> Json:
    """The confirmation in writing that is still to be sent."""
    return {
        "resourceType": "Communication",
        "status": "preparation",
        "category": [concept(CODES, "confirmation")],
        "subject": {"reference": reference},
        "recipient": [{"reference": reference}],
        "about": [{"reference": consent.ref}],
    }


# The answer -------------------------------------------------------------------------------------------------------


def _account(tx: Tx, asked: Asked, grant: Grant, consent: Stored, ended: list[Stored]) -> None:
    for interaction, shown in (("create", [consent]), ("update", ended)):
        if shown:
            audit.record(
                tx, asked.subject, grant, interaction, "Consent", status=201 if interaction == "create" else 200,
                disclosed=shown, detail="$record-choice", request_id=asked.request_id,
            )  # fmt: skip


def _superseded(tx: Tx, sight: Grant, consent: Stored) -> list[str]:
    found = resources.get(tx, sight, "Provenance", f"{consent.id}-provenance")
    targets = orjson.loads(found.content)["target"][1:] if found is not None and not found.deleted else []
    return [one["reference"].split("/_history/")[0] for one in targets]


def _answer(consent: Stored, superseded: list[str], status: int) -> Answer:
    said: list[Json] = [{"name": "consent", "resource": orjson.loads(consent.content)}]
    said += [{"name": "superseded", "valueReference": {"reference": one}} for one in superseded]
    for name, kind, suffix in (
        ("provenance", "Provenance", "provenance"),
        ("task", "Task", "task"),
        ("communication", "Communication", "notice"),
    ):
        said.append({"name": name, "valueReference": {"reference": f"{kind}/{consent.id}-{suffix}"}})
    return Answer(status, dump({"resourceType": "Parameters", "parameter": said}))
