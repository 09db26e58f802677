"""Choices by FHIR, for portals and desks that have pages of their own: `QuestionnaireResponse/$submit-choice` and
`Task/[id]/$advance-request`. The same functions as the pages at /choices and /desk call.
"""

from __future__ import annotations

from typing import Any

from app.fhir.lossless import dump
from app.fhir.outcome import Fault
from app.fhir.temporal import format_instant
from app.interactions import Answer, Asked, Services
from app.pathways.choice import desk, requests
from app.pathways.choice.filed import NUMBERS
from app.pathways.choice.model import Request
from app.pathways.choice.response import form_of
from app.pathways.parameters import PLACE, read

Json = dict[str, Any]

MEMBERS = {
    "to": ("valueCode",),
    "sent": ("valueCode",),
    "patient": ("valueReference",),
    "reason": ("valueCode",),
    "note": ("valueString",),
    "version": ("valueInteger", "valuePositiveInt"),
}
STEPS = ("received", "accepted", "in-progress", "rejected")


def submit_choice(services: Services, asked: Asked, resource: Json) -> Answer:
    """201 with Parameters: the reference number, the Task, and by when it is acknowledged and decided; 200 with the same for
    the same form again. For clients that record choices. Raises Fault as `requests.submit`."""
    for type_name in ("QuestionnaireResponse", "Task", "Consent"):
        services.enforcement.check_writer(asked.subject, "create", type_name)
    form = form_of(resource)
    receipt = requests.submit(services, asked, form, submission=asked.idempotency_key or "")
    said = [
        {"name": "reference", "valueIdentifier": {"system": NUMBERS, "value": receipt.reference}},
        {"name": "task", "valueReference": {"reference": f"Task/{receipt.id}"}},
        {"name": "acknowledgeBy", "valueInstant": format_instant(receipt.acknowledge_by)},
        {"name": "decideBy", "valueInstant": format_instant(receipt.decide_by)},
    ]
    return Answer(200 if receipt.again else 201, dump({"resourceType": "Parameters", "parameter": said}))


def advance_request(services: Services, asked: Asked, id: str, parameters: Json) -> Answer:
    """200 with Parameters: state, version, overdue clocks. `to` is the next state, or `sent` the letter that has been sent.
    Raises Fault as the functions of the desk."""
    given = read(parameters, MEMBERS)
    if ("to" in given) == ("sent" in given):
        raise Fault("required", "neither or both of 'to' and 'sent'; expected one of them", PLACE)
    version = given.get("version")
    if "sent" in given:
        return _answer(desk.sent(services, asked, id, given["sent"], version=version))
    match given["to"]:
        case "received":
            done = desk.receive(services, asked, id, version=version)
        case "accepted":
            patient = given.get("patient", {}).get("reference")
            done = desk.accept(services, asked, id, patient=patient, version=version)
        case "in-progress":
            done = desk.confirm(services, asked, id, version=version)
        case "rejected":
            reason, note = given.get("reason", ""), given.get("note", "")
            done = desk.reject(services, asked, id, reason, note, version=version)
        case _:
            raise Fault("value", f"not a step; expected one of {', '.join(STEPS)}", PLACE)
    return _answer(done)


def _answer(one: Request) -> Answer:
    said: list[Json] = [
        {"name": "state", "valueCode": one.state},
        {"name": "version", "valueInteger": one.version},
    ]
    if one.consent:
        said.append({"name": "consent", "valueReference": {"reference": one.consent}})
    said += [{"name": "overdue", "valueCode": name} for name in one.overdue]
    return Answer(200, dump({"resourceType": "Parameters", "parameter": said}))
