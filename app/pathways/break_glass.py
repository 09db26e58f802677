"""Patient/$break-glass: time-boxed access of one clinician to one patient's images, in an emergency (policy.md, step 10; P16).

The grant is a row that the decision reads like everything else on file. It is bound to person, organisation and patient,
and opens reading and locating for requests that present it; it is no relationship, so no system, subscription or
colleague gets anything by it. What follows (who is told, the review) is in `break_glass_review.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from app.access import audit, information
from app.access.information import Known, Names
from app.access.scopes import authorize
from app.access.subject import Subject
from app.fhir.lossless import dump
from app.fhir.outcome import Fault
from app.fhir.query import Token
from app.fhir.temporal import MINUTE, format_instant
from app.interactions import Answer, Asked, Services
from app.interactions.carrying import carry, record_refusal
from app.pathways import break_glass_review as review
from app.pathways.making import BASE
from app.pathways.parameters import PLACE, read
from app.policy.switches import DIRECT_CARE, Switches
from app.storage import attempts, emergencies
from app.storage.emergencies import Held
from app.storage.engine import Tx
from app.storage.keys import new_id

Json = dict[str, Any]

REASONS = f"{BASE}/CodeSystem/registry-emergency-reason"
VALUES = f"{BASE}/ValueSet/registry-emergency-reason"
FRESH = 15 * MINUTE
SKEW = MINUTE
HOUR = 60 * MINUTE
BURST = 10 * MINUTE
SHORTEST, LONGEST = 15, 2000
KIND = "break-glass"
MEMBERS = {
    "patient": ("valueIdentifier", "valueReference"),
    "reason": ("valueCoding", "valueCode", "valueCodeableConcept"),
    "text": ("valueString",),
    "hours": ("valuePositiveInt", "valueInteger"),
}


@dataclass(frozen=True, slots=True)
class Plea:
    """What is asked for. `hours` None: the region's usual time."""

    names: Names
    reason: str
    text: str
    hours: int | None


def break_glass(services: Services, asked: Asked, parameters: Json, id: str | None = None) -> Answer:
    """201 with Parameters grant, patient, until and task; 200 with the same where the clinician holds one already.

    Raises Fault forbidden (not a clinician, closed, locked), login (authenticated too long ago), throttled, invalid,
    required, value, code-invalid; and one not-found for whoever is unknown and whoever none may be given for.
    """

    def work(tx: Tx) -> Answer | Fault:
        _entitled(services, asked.subject, tx.at)
        return _given(services, tx, asked, _plea(services, parameters, id))

    return _answered(services, asked, carry(services, asked, "operation", "Patient", work))


def _answered(services: Services, asked: Asked, answer: Answer | Fault) -> Answer:
    """A refusal that was counted, and so had to be committed, is a refusal all the same."""
    if isinstance(answer, Fault):
        record_refusal(services, asked, "operation", "Patient", answer)
        raise answer
    return answer


def _entitled(services: Services, subject: Subject, at: int) -> None:
    for type_name in ("Patient", "ImagingStudy"):
        authorize(subject, type_name, "read")
    if subject.role != "clinician" or not subject.practitioner or not subject.organisation:
        text = "emergency access is given to clinicians who are logged in by name; expected a token of one"
        raise Fault("forbidden", text, detail="ACCESS_DENIED")
    if not services.enforcement.switches.break_glass:
        raise Fault("forbidden", "the region gives no emergency access; expected a care relationship")
    if subject.purpose not in DIRECT_CARE and subject.purpose not in services.enforcement.switches.care_purposes:
        raise Fault("forbidden", "the purpose of use is not direct care; expected TREAT, ETREAT or BTG")
    if subject.auth_time is None or not -SKEW <= at - subject.auth_time <= FRESH:
        # RFC 9470: the client sends the person to log in again.
        challenge = f'Bearer error="insufficient_user_authentication", max_age="{FRESH // MINUTE * 60}"'
        text = "the log-in is too long ago for emergency access; expected one within the last 15 minutes"
        raise Fault("login", text, headers={"WWW-Authenticate": challenge})


def _plea(services: Services, parameters: Json, id: str | None) -> Plea:
    given = read(parameters, MEMBERS, ("reason", "text") if id else ("patient", "reason", "text"))
    if id and "patient" in given:
        raise Fault("invalid", "the patient is named twice; expected the address to name them", PLACE)
    text = " ".join(given["text"].split())
    if not SHORTEST <= len(text) <= LONGEST or len(set(text)) < 5:
        expected = f"expected {SHORTEST} to {LONGEST} characters that say why"
        raise Fault("value", f"the parameter 'text' does not say why; {expected}", PLACE)
    most = services.enforcement.switches.break_glass_most_hours
    hours = given.get("hours")
    if hours is not None and not 1 <= hours <= most:
        raise Fault("value", f"the parameter 'hours' is out of range; expected 1 to {most}", PLACE)
    return Plea(_names(given.get("patient"), id), _reason(services, given["reason"]), text, hours)


def _reason(services: Services, given: Any) -> str:
    codings = given.get("coding") if isinstance(given, dict) and "coding" in given else [given]
    known = {code for _, code in services.value_sets[VALUES]}
    for one in codings if isinstance(codings, list) else []:
        system, code = (REASONS, one) if isinstance(one, str) else (one.get("system", REASONS), one.get("code"))
        if system == REASONS and code in known:
            return str(code)
    text = f"the parameter 'reason' is not a known reason; expected one of {', '.join(sorted(known))}, of {REASONS}"
    raise Fault("code-invalid", text, PLACE)


def _names(patient: Json | None, id: str | None) -> Names:
    if id is not None:
        return Names(ids=(id,))
    assert patient is not None
    identifier = patient.get("identifier", patient)
    text = patient.get("reference")
    if isinstance(text, str):
        return Names(ids=(text.removeprefix("Patient/"),))
    if isinstance(identifier, dict) and all(isinstance(identifier.get(one), str) for one in ("system", "value")):
        return Names(identifiers=(Token(identifier["system"], identifier["value"].replace(" ", "")),))
    raise Fault("value", "the patient is not named; expected a reference, or an identifier with system", PLACE)


def _given(services: Services, tx: Tx, asked: Asked, plea: Plea) -> Answer | Fault:
    subject, switches = asked.subject, services.enforcement.switches
    assert subject.practitioner and subject.organisation
    attempts.hold(tx, KIND, subject.practitioner, subject.organisation)  # a form sent twice opens one access
    known = information.of_names(tx, plea.names, [], None)
    before = [one for one in _own(tx, known, subject) if one.end > tx.at]
    if before and plea.hours is None:
        return _answer(before[0], known, 200)
    attempts.note(tx, KIND, subject.practitioner, subject.organisation)
    if refused := _too_many(services, tx, asked, switches):
        return refused
    person = known.groups[0].person if len(known.groups) == 1 else None
    if person is None or person.link_error or person.restricted or _dead(person.deceased, switches):
        return Fault(
            "not-found",
            "no patient for whom emergency access can be given; expected one who is known here",
            detail="RESOURCE_NOT_FOUND",
        )
    rid = min(known.records)
    hours = plea.hours or min(switches.break_glass_hours, switches.break_glass_most_hours)
    made = Held(
        new_id(), known.records[rid], subject.practitioner, subject.organisation, tx.at, tx.at + hours * HOUR,
        plea.reason, plea.text,
    )  # fmt: skip
    emergencies.add(tx, made, rid)
    review.opened(services, tx, made, known)
    audit.record(
        tx, subject, services.enforcement.for_deciding(tx, "BREAK_GLASS"), "operation", "Patient", status=201,
        detail=f"$break-glass: {made.id}, {made.reason}, until {format_instant(made.end)}", named=(made.patient,),
        request_id=asked.request_id,
    )  # fmt: skip
    return _answer(made, known, 201)


def _own(tx: Tx, known: Known, subject: Subject) -> list[Held]:
    """The grants that the subject holds for the patient, and that have not been revoked."""
    return [
        one
        for one in emergencies.of_patients(tx, tuple(known.records))
        if (one.practitioner, one.organisation, one.revoked) == (subject.practitioner, subject.organisation, None)
    ]


def _dead(deceased: bool, switches: Switches) -> bool:
    return deceased and not switches.break_glass_after_death


def _too_many(services: Services, tx: Tx, asked: Asked, switches: Switches) -> Fault | None:
    """Rates by person and organisation; a burst closes the function until a privacy officer opens it again."""
    subject = asked.subject
    assert subject.practitioner and subject.organisation
    bounds = (
        (subject.practitioner, switches.break_glass_burst, switches.break_glass_per_person),
        (subject.organisation, switches.break_glass_organisation_burst, switches.break_glass_per_organisation),
    )
    for holder, burst, _ in bounds:
        if attempts.count(tx, KIND, holder, tx.at - BURST) > burst and emergencies.lock(tx, holder):
            review.alerted(services, tx, holder, subject.organisation)
    if emergencies.locked(tx, *(holder for holder, _, _ in bounds)):
        text = "emergency access is closed after it was used too often; expected the privacy officer to open it again"
        return Fault("forbidden", text, detail="ACCESS_DENIED")
    for holder, _, most in bounds:
        if attempts.count(tx, KIND, holder, tx.at - 24 * HOUR) > most:
            text = (
                "emergency access was used too often within 24 hours; expected a request later, or a care relationship"
            )
            return Fault("throttled", text, headers={"Retry-After": "3600"})
    return None


def _answer(one: Held, known: Known, status: int) -> Answer:
    said = [*_parts(one), {"name": "task", "valueReference": {"reference": f"Task/{review.task_id(one, known)}"}}]
    return Answer(status, dump({"resourceType": "Parameters", "parameter": said}))


def _parts(one: Held) -> list[Json]:
    return [
        {"name": "grant", "valueString": one.id},
        {"name": "patient", "valueReference": {"reference": one.patient}},
        {"name": "until", "valueInstant": format_instant(one.end)},
    ]


# What one holds, and its end ---------------------------------------------------------------------------------------


def emergency_access(services: Services, asked: Asked, id: str) -> Answer:
    """Patient/[id]/$emergency-access: the grants that the clinician holds for the patient now. None for anyone else, and
    for a patient who is not known."""

    def work(tx: Tx) -> Answer:
        authorize(asked.subject, "Patient", "read")
        known = information.of_names(tx, Names(ids=(id,)), [], None)
        held = [one for one in _own(tx, known, asked.subject) if one.end > tx.at] if asked.subject.practitioner else []
        audit.record(
            tx, asked.subject, None, "operation", "Patient", status=200, detail="$emergency-access",
            named=tuple(dict.fromkeys(one.patient for one in held)), request_id=asked.request_id,
        )  # fmt: skip
        said = [{"name": "access", "part": [*_parts(one), {"name": "reason", "valueCode": one.reason}]} for one in held]
        return Answer(200, dump({"resourceType": "Parameters", **({"parameter": said} if said else {})}))

    return carry(services, asked, "operation", "Patient", work)


def end_break_glass(services: Services, asked: Asked, id: str, parameters: Json) -> Answer:
    """Patient/[id]/$end-break-glass: the holder, or a privacy officer of the holder's organisation, ends a grant at once.
    204, again too. Raises Fault not-found for any other grant."""

    def work(tx: Tx) -> Answer:
        authorize(asked.subject, "Patient", "read")
        name = read(parameters, {"grant": ("valueString", "valueId")}, ("grant",))["grant"]
        one = emergencies.find(tx, name)
        if one is None or one.patient != f"Patient/{id}" or not _may_end(services, tx, asked.subject, one):
            raise Fault("not-found", "no such emergency access; expected the id of one for this patient", PLACE)
        emergencies.revoke(tx, one.id)
        audit.record(
            tx, asked.subject, services.enforcement.for_deciding(tx, "BREAK_GLASS"), "operation", "Patient", status=204,
            detail=f"$end-break-glass: {one.id}", named=(one.patient,), request_id=asked.request_id,
        )  # fmt: skip
        return Answer(204)

    return carry(services, asked, "operation", "Patient", work)


def _may_end(services: Services, tx: Tx, subject: Subject, one: Held) -> bool:
    own = subject.role == "clinician" and (subject.practitioner, subject.organisation) == (
        one.practitioner,
        one.organisation,
    )
    officer = subject.role == "privacy" and one.organisation in services.enforcement.requester(tx, subject).tree
    return own or officer


__all__ = ["break_glass", "emergency_access", "end_break_glass"]
