"""Whether what is to be written lies within the token's scopes, as `storage.predicate.within` says it of what is read.

https://hl7.org/fhir/smart-app-launch/scopes-and-launch-context.html#scopes-for-requesting-fhir-resources
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from app.access.information import named
from app.fhir.matches import matches
from app.fhir.outcome import Fault
from app.fhir.query import Clause, Query, Reference
from app.fhir.registry import TYPES
from app.policy.grant import Slice
from app.storage import persons
from app.storage.engine import Tx
from app.storage.indexing import PATIENT_PARAMS

OUT_OF_CONTEXT = "the patient is not the one in the token's context; expected a search for that patient"


def check_context(tx: Tx, within: Mapping[str, tuple[Slice, ...]], query: Query | None) -> None:
    """Raises Fault forbidden for a search for studies that names another patient than the one in the context of a token
    that reaches no one else: an empty answer would be taken for "no imaging" (SMART Imaging Access, finding studies).

    It comes before any decision and rests on names and token alone: of the patient who is named it tells nothing."""
    slices = within.get(query.type) if query is not None else None
    if query is None or not slices or TYPES[query.type].visibility != "study":
        return
    context = {one.patient for one in slices}
    names = named(query)
    if names is None or None in context or context & {f"Patient/{id}" for id in names.ids}:
        return
    if any(token.system is None for token in names.identifiers):
        return  # which may be anybody's: what lies outside the context is left out
    group = {id for patient in context if patient is not None for id in _group(tx, patient)}
    asked = {*names.ids, *(id for token in names.identifiers for id in persons.patients_by(tx, token))}
    if not group & asked:
        raise Fault("forbidden", OUT_OF_CONTEXT, detail="ACCESS_DENIED")


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
