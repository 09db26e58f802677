"""The Parameters of an operation: each once, as one of the kinds of value that the operation names for it.
https://hl7.org/fhir/R4/parameters.html
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from app.fhir.outcome import Fault

TEXTS = ("valueCode", "valueString", "valueUri", "valueDateTime", "valueInstant", "valueDate", "valueId")
NUMBERS = ("valueInteger", "valuePositiveInt", "valueUnsignedInt")
PLACE = "Parameters.parameter"


def read(
    parameters: Mapping[str, Any], members: Mapping[str, tuple[str, ...]], required: Collection[str] = ()
) -> dict[str, Any]:
    """Each parameter's value by its name. Raises Fault invalid or required, naming the parameter."""
    if parameters.get("resourceType") != "Parameters":
        wanted = ", ".join(required) or "those of the operation"
        text = f"the content is not Parameters; expected Parameters with {wanted}"
        raise Fault("invalid", text, "resourceType")
    given: dict[str, Any] = {}
    listed = parameters.get("parameter", [])
    for one in listed if isinstance(listed, list) else [None]:
        name = one.get("name") if isinstance(one, dict) else None
        if not isinstance(one, dict) or not isinstance(name, str) or name not in members:
            raise Fault("invalid", f"a parameter is not known; expected {', '.join(members)}", PLACE)
        held = [(member, one[member]) for member in members[name] if member in one]
        if name in given or len(held) != 1 or not _is(*held[0]):
            expected = f"the parameter '{name}' is not as expected; expected it once, as {' or '.join(members[name])}"
            raise Fault("invalid", expected, PLACE)
        given[name] = held[0][1]
    for name in required:
        if name not in given:
            raise Fault("required", f"the parameter '{name}' is missing; expected it", PLACE)
    return given


def _is(member: str, value: object) -> bool:
    if member in TEXTS:
        return isinstance(value, str)
    if member in NUMBERS:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, dict)
