"""JSON Patch and JSON Merge Patch of a resource: https://hl7.org/fhir/R4/http.html#patch, RFC 6902 and RFC 7396."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import jsonpatch
import jsonpointer

from app.fhir.outcome import Fault

MOST_OPERATIONS = 1000


def json_patch(resource: dict[str, Any], operations: Any) -> dict[str, Any]:
    """The resource with the operations applied, one after the other; the given one stays as it is.

    Raises Fault "invalid" for what is no patch, "unprocessable" where an operation cannot be applied, naming it.
    """
    if not isinstance(operations, list):
        raise Fault("invalid", "not a JSON Patch; expected a list of operations")
    if len(operations) > MOST_OPERATIONS:
        raise Fault("too-costly", f"more than {MOST_OPERATIONS} operations; expected fewer")
    changed: Any = deepcopy(resource)
    for number, operation in enumerate(operations):
        try:
            changed = jsonpatch.JsonPatch([operation]).apply(changed)
        except jsonpatch.JsonPatchTestFailed:
            raise Fault("unprocessable", "the test is not met; expected the value it names", f"[{number}]") from None
        except jsonpatch.InvalidJsonPatch:
            text = "not an operation; expected op, path and what the op needs"
            raise Fault("invalid", text, f"[{number}]") from None
        except (jsonpatch.JsonPatchException, jsonpointer.JsonPointerException, TypeError, KeyError, IndexError):
            text = "the path leads nowhere in the resource; expected one that is there"
            raise Fault("unprocessable", text, f"[{number}]") from None
    return changed  # type: ignore[no-any-return]


def merge_patch(resource: dict[str, Any], changes: Any) -> dict[str, Any]:
    """The resource with each element that `changes` names replaced, and that which it says is null removed; the given
    one stays as it is. A list is replaced whole. Raises Fault "invalid" for what is no object."""
    if not isinstance(changes, dict):
        raise Fault("invalid", "not a JSON Merge Patch; expected an object of elements")
    return _merged(resource, changes)


def _merged(before: Any, changes: dict[str, Any]) -> dict[str, Any]:
    after = dict(before) if isinstance(before, dict) else {}
    for name, change in changes.items():
        if change is None:
            after.pop(name, None)
        else:
            after[name] = _merged(after.get(name), change) if isinstance(change, dict) else change
    return after
