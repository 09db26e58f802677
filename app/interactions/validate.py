"""$validate on a type or an instance: https://hl7.org/fhir/R4/resource-operation-validate.html"""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

from app.access import audit
from app.access.scopes import authorize
from app.fhir.outcome import Fault, Issue, operation_outcome
from app.fhir.registry import TYPES
from app.fhir.resource import dump, load
from app.fhir.tolerance import amend
from app.interactions import Answer, Asked, Services, idempotency
from app.interactions.carrying import carry
from app.interactions.read import gone, unknown
from app.storage import resources
from app.storage.engine import Tx

MODES = ("create", "update", "delete", "profile")


@dataclass(frozen=True, slots=True)
class Question:
    """What is to be validated, for what, and against which profile beside those that hold anyway."""

    resource: dict[str, Any] | None
    mode: str
    profile: str | None


def validate(
    services: Services,
    asked: Asked,
    type_name: str,
    content: dict[str, Any],
    pairs: Sequence[tuple[str, str]],
    id: str | None = None,
) -> Answer:
    """All issues of a resource, as the answer and never as an error: 200 with an OperationOutcome.

    `mode` create and update: could this be written, at this id. delete: could what is there be deleted. profile: what is
    sent, or what is there, against `profile`. Raises Fault invalid for a question that cannot be asked.
    """
    question = _asked(content, pairs)
    _askable(services, question, type_name, id)
    request = idempotency.fingerprint(asked, f"{type_name}/{id or ''}/$validate", content)

    def work(tx: Tx) -> Answer:
        authorize(asked.subject, type_name, "read")
        # What answers the same anyway needs no first answer, but one request a key.
        idempotency.first(tx, asked, request)
        issues = _issues(services, tx, asked, question, type_name, id)
        said = issues or [Issue("informational", "all is well", severity="information")]
        audit.record(
            tx, asked.subject, None, "operation", type_name, status=200, detail="$validate", request_id=asked.request_id
        )
        return Answer(200, dump(operation_outcome(said)))

    return carry(services, asked, "operation", type_name, work)


def _issues(
    services: Services, tx: Tx, asked: Asked, question: Question, type_name: str, id: str | None
) -> list[Issue]:
    if question.mode == "delete":
        _stored(services, tx, asked, type_name, str(id))
        return []
    resource = question.resource
    if resource is None:
        resource = _stored(services, tx, asked, type_name, str(id))
    else:
        resource = deepcopy(resource)
    issues = amend(resource, asked.subject.tolerates)
    issues += services.validator.validate(resource, [question.profile] if question.profile else [])
    if question.mode in ("create", "update") and question.mode not in TYPES[type_name].interactions:
        issues.append(Issue("not-supported", f"{question.mode} is not supported for {type_name}", type_name))
    if id is not None and resource.get("id") != id:
        text = "the resource's id is not that of the address; expected the same"
        issues.append(Issue("invalid", text, f"{type_name}.id"))
    return issues


def _stored(services: Services, tx: Tx, asked: Asked, type_name: str, id: str) -> dict[str, Any]:
    """The current version, as far as the requester may see it. Raises Fault not-found or deleted."""
    grant = services.enforcement.permit(tx, asked.subject, "read", type_name, id=id)
    found = resources.get(tx, grant, type_name, id)
    if found is None:
        raise unknown(type_name)
    if found.deleted:
        raise gone(found)
    resource: dict[str, Any] = load(found.content)
    return resource


def _asked(content: dict[str, Any], pairs: Sequence[tuple[str, str]]) -> Question:
    options = {name: value for name, value in pairs if name in ("mode", "profile")}
    if content.get("resourceType") != "Parameters":
        return Question(content, options.get("mode", "create"), options.get("profile"))
    resource = None
    parameters = content.get("parameter", [])
    for number, parameter in enumerate(parameters if isinstance(parameters, list) else [None]):
        name = parameter.get("name") if isinstance(parameter, dict) else None
        place = f"Parameters.parameter[{number}]"
        if name == "resource":
            resource = parameter.get("resource")
            if not isinstance(resource, dict):
                raise Fault("invalid", "not a parameter of $validate; expected resource, mode or profile", place)
        elif name in ("mode", "profile"):
            value = next((one for key, one in parameter.items() if key.startswith("value")), None)
            if not isinstance(value, str):
                raise Fault("invalid", f"no text in the parameter {name}; expected valueCode or valueUri", place)
            options[name] = value
        else:
            raise Fault("invalid", "not a parameter of $validate; expected resource, mode or profile", place)
    if resource is None and not {"mode", "profile"} & options.keys():
        raise Fault("invalid", "no resource to validate; expected a parameter with one", "Parameters.parameter")
    return Question(resource, options.get("mode", "create"), options.get("profile"))


def _askable(services: Services, question: Question, type_name: str, id: str | None) -> None:
    if question.mode not in MODES:
        raise Fault("invalid", "the mode is not known; expected create, update, delete or profile", "mode")
    if question.mode == "delete" and id is None:
        raise Fault("invalid", "no instance to delete; expected $validate on one", "mode")
    if question.mode == "profile" and not question.profile:
        raise Fault("invalid", "mode profile without a profile; expected its canonical URL", "profile")
    if question.profile and not services.validator.knows(question.profile, type_name):
        text = f"the profile is not known for {type_name}; expected the standard's, or one at /fhir/StructureDefinition"
        raise Fault("invalid", text, "profile")
    if question.resource is None and (id is None or question.mode in ("create", "update")):
        raise Fault("invalid", "no resource; expected one, or Parameters that hold one", "resource")
    if question.resource is not None and question.resource.get("resourceType") != type_name:
        raise Fault("invalid", "the resource is of another type than the address; expected the same", "resourceType")
