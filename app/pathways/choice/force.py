"""The Consent of a request: proposed with the form, active when the desk confirms, rejected with it. Older choices of the
person are superseded; nothing is edited or deleted (nhs.md, section 5)."""

from __future__ import annotations

from typing import Any

import orjson

from app.access import information
from app.fhir.identifier import ODS_ORGANISATION
from app.fhir.outcome import Fault
from app.fhir.temporal import format_instant
from app.interactions import Asked, Services
from app.pathways.choice.filed import Filed, instant
from app.pathways.choice.response import CODES
from app.pathways.making import TERMINOLOGY, concept, organization
from app.pathways.record_choice import POLICY, ended, hold_choices, of_record, older, provenance
from app.policy.directive import compile_consent
from app.policy.grant import Grant
from app.storage import resources
from app.storage.engine import Tx
from app.storage.projection import resolver
from app.storage.resources import Stored

Json = dict[str, Any]

ACTS = {"opt-out": "OPTOUT", "opt-in": "OPTIN"}
EMERGENCIES = ("ETREAT", "BTG")


def id_of(filed: Filed) -> str:
    return f"{filed.task.id}-consent"


def proposed(services: Services, tx: Tx, grant: Grant, filed: Filed) -> Filed:
    """The request with its Consent, not yet in force; as it is where it asks for none, or nobody is known for it."""
    if filed.form.choice not in ACTS or filed.patient is None or resources.taken(tx, "Consent", id_of(filed)):
        return filed
    content = _content(tx, grant, filed)
    services.validator.check(content)
    resources.create(tx, grant, content, id_of(filed), "PUT")
    return filed


def _content(tx: Tx, grant: Grant, filed: Filed) -> Json:
    form, patient = filed.form, {"reference": filed.patient}
    received = instant(filed.said["executionPeriod"]["start"], tx.zone) or tx.at
    performer = {"type": "RelatedPerson", "display": form.relationship} if form.on_behalf else patient
    content: Json = {
        "resourceType": "Consent",
        "status": "proposed",
        "scope": concept(f"{TERMINOLOGY}/consentscope", "patient-privacy"),
        "category": [concept("http://loinc.org", "59284-0")],
        "patient": patient,
        "dateTime": format_instant(received),
        "performer": [performer],
        "organization": [organization(grant.writer or "")],
        "sourceReference": {"reference": filed.answers.ref},
        "policy": [{"uri": POLICY}],
        "provision": _provision(filed),
    }
    if form.extent != "trusts" or form.choice == "opt-in":  # what names organisations is no plain act of either kind
        content["policyRule"] = concept(f"{TERMINOLOGY}/v3-ActCode", ACTS[form.choice])
    return content


def _provision(filed: Filed) -> Json:
    form = filed.form
    if form.choice == "opt-in":
        return {"type": "permit"}
    if form.extent == "except-emergency":
        reasons = [{"system": f"{TERMINOLOGY}/v3-ActReason", "code": one} for one in EMERGENCIES]
        return {"type": "deny", "provision": [{"type": "permit", "purpose": reasons}]}
    if form.extent == "trusts":
        role = concept(f"{TERMINOLOGY}/v3-ParticipationType", "IRCP")
        actors = [
            {"role": role, "reference": {"identifier": {"system": ODS_ORGANISATION, "value": one}}}
            for one in form.trusts
        ]
        return {"type": "permit", "provision": [{"type": "deny", "actor": actors}]}
    return {"type": "deny"}


def _current(tx: Tx, grant: Grant, filed: Filed) -> Stored:
    found = resources.get(tx, grant, "Consent", id_of(filed))
    if found is None or found.deleted:
        raise Fault("unprocessable", "the request has no choice on record; expected one for a known patient")
    return found


def activated(services: Services, tx: Tx, asked: Asked, grant: Grant, filed: Filed) -> list[Stored]:
    """Put the choice in force: the Consent and those that it supersedes, with a Provenance. Holds off any other choice
    of the same patient until this transaction ends."""
    reference = filed.patient or ""
    hold_choices(tx, reference)
    current = _current(tx, grant, filed)
    content = orjson.loads(current.content) | {"status": "active"}
    if filed.form.on_behalf:
        content["verification"] = [{"verified": True, "verificationDate": format_instant(tx.at)}]
    services.validator.check(content)
    made = compile_consent(content, resolver(tx), tx.zone)
    known = information.of_names(tx, information.Names(ids=(reference.removeprefix("Patient/"),)), [], None)
    before = older(made, of_record(known.groups[0].person, reference)) if made.unfiltered and known.groups else []
    gone = [ended(tx, grant, grant, one) for one in before if one.source != current.ref]
    consent = resources.update(tx, grant, current, content)
    said = provenance(asked, consent, gone, tx.at)
    services.validator.check(said)
    resources.create(tx, grant, said, f"{consent.id}-provenance", "PUT")
    return [consent, *gone]


def rejected(tx: Tx, grant: Grant, filed: Filed) -> list[Stored]:
    """The proposed Consent, rejected; nothing where there is none."""
    found = resources.get(tx, grant, "Consent", id_of(filed))
    if found is None or found.deleted:
        return []
    return [resources.update(tx, grant, found, orjson.loads(found.content) | {"status": "rejected"})]


def output(filed: Filed) -> Json:
    """What the Task says that came of it."""
    return {"output": [{"type": concept(CODES, "consent"), "valueReference": {"reference": f"Consent/{id_of(filed)}"}}]}
