"""$validate on a type or an instance: https://hl7.org/fhir/R4/resource-operation-validate.html"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from app.access import audit
from app.access.scopes import authorize
from app.fhir.outcome import Fault, Issue, operation_outcome
from app.fhir.resource import dump
from app.interactions import Answer, Asked, Services, idempotency
from app.interactions.carrying import carry
from app.storage.engine import Tx

MODES = ("create", "update", "delete")


def validate(
    services: Services,
    asked: Asked,
    type_name: str,
    content: dict[str, Any],
    pairs: Sequence[tuple[str, str]],
    id: str | None = None,
) -> Answer:
    """All issues of a resource, as the answer and never as an error: 200 with an OperationOutcome."""
    resource = _asked(content, pairs)
    if resource.get("resourceType") != type_name:
        raise Fault("invalid", "the resource is of another type than the address; expected the same", "resourceType")

    request = idempotency.fingerprint(asked, f"{type_name}/{id or ''}/$validate", content)

    def work(tx: Tx) -> Answer:
        authorize(asked.subject, type_name, "read")
        idempotency.first(
            tx, asked, request
        )  # what answers the same anyway needs no first answer, but one request a key
        issues = services.validator.validate(resource)
        if id is not None and resource.get("id") != id:
            issues.append(
                Issue("invalid", "the resource's id is not that of the address; expected the same", f"{type_name}.id")
            )
        said = issues or [Issue("informational", "all is well", severity="information")]
        audit.record(
            tx, asked.subject, None, "operation", type_name, status=200, detail="$validate", request_id=asked.request_id
        )
        return Answer(200, dump(operation_outcome(said)))

    return carry(services, asked, "operation", type_name, work)


def _asked(content: dict[str, Any], pairs: Sequence[tuple[str, str]]) -> dict[str, Any]:
    options = {name: value for name, value in pairs if name in ("mode", "profile")}
    resource = content
    if content.get("resourceType") == "Parameters":
        resource = {}
        given = content.get("parameter")
        for number, parameter in enumerate(given if isinstance(given, list) else ()):
            name = parameter.get("name") if isinstance(parameter, dict) else None
            if name == "resource":
                resource = parameter.get("resource")
            elif name in ("mode", "profile"):
                options[name] = next((str(v) for k, v in parameter.items() if k.startswith("value")), "")
            if not isinstance(resource, dict) or name is None:
                place = f"Parameters.parameter[{number}]"
                raise Fault("invalid", "not a parameter of $validate; expected resource, mode or profile", place)
        if not resource:
            raise Fault("invalid", "no resource to validate; expected a parameter with one", "Parameters.parameter")
    if options.get("mode", "create") not in MODES:
        raise Fault("invalid", "the mode is not known; expected create, update or delete", "mode")
    return resource
