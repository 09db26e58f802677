"""Whether what is to be written lies within the token's scopes, as `storage.predicate.within` says it of what is read.

https://hl7.org/fhir/smart-app-launch/scopes-and-launch-context.html#scopes-for-requesting-fhir-resources
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from app.fhir.matches import matches
from app.fhir.query import Clause, Reference
from app.fhir.registry import TYPES
from app.policy.grant import Slice
from app.storage.engine import Tx
from app.storage.indexing import PATIENT_PARAMS


def admits(tx: Tx, slices: Iterable[Slice], resource: dict[str, Any]) -> bool:
    """Whether one of the slices holds the resource."""
    return any(_holds(tx, one, resource) for one in slices)


def _holds(tx: Tx, slice: Slice, resource: dict[str, Any]) -> bool:
    if slice.patient is not None and not _about(resource, _group(tx, slice.patient)):
        return False
    return all(matches(resource, condition) for condition in slice.where)


def _group(tx: Tx, patient: str) -> list[str]:
    id = patient.removeprefix("Patient/")
    rows = tx.rows("SELECT b.id FROM person a JOIN person b ON b.grp = a.grp WHERE a.id = ?", id)
    return [found for (found,) in rows]


def _about(resource: dict[str, Any], group: list[str]) -> bool:
    type_name = resource["resourceType"]
    if type_name == "Patient":
        return resource.get("id") in group
    named = tuple(Reference("Patient", id) for id in group)
    params = (TYPES[type_name].params[name] for name in PATIENT_PARAMS.get(type_name, ()))
    return bool(named) and any(matches(resource, Clause(param, None, named)) for param in params)
