"""What sharing needs beyond the base types: the registry's own rules, each a small function.

Numbers that identify, UIDs that agree, consents that can be evaluated, endpoints that are safe to follow.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

from app.fhir.identifier import bare_uid, is_uid
from app.fhir.identifiers import is_nhs_number, is_ods_code
from app.fhir.outcome import Issue
from app.fhir.temporal import interval

NHS_NUMBER = "https://fhir.nhs.uk/Id/nhs-number"
ODS = ("https://fhir.nhs.uk/Id/ods-organization-code", "https://fhir.nhs.uk/Id/ods-site-code")
DICOM_UID = "urn:dicom:uid"
DEEPEST_PROVISION = 4
MOST_PROVISIONS = 1000

Rule = Callable[[dict[str, Any]], Iterator[Issue]]


def faults(resource: dict[str, Any]) -> list[Issue]:
    """What the registry's rules find; the structure is sound already."""
    rules = (identifiers, periods, *RULES.get(resource["resourceType"], ()))
    return [issue for rule in rules for issue in rule(resource)]


def _walk(value: Any, path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    if isinstance(value, dict):
        yield path, value
        for key, inner in value.items():
            yield from _walk(inner, f"{path}.{key}")
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from _walk(inner, f"{path}[{number}]")


def identifiers(resource: dict[str, Any]) -> Iterator[Issue]:
    """NHS numbers have their check digit; ODS codes their one form, wherever an Identifier stands."""
    for path, element in _walk(resource, resource["resourceType"]):
        system, value = element.get("system"), element.get("value")
        if not isinstance(value, str):
            continue
        if system == NHS_NUMBER and not is_nhs_number(value):
            text = "not an NHS number; expected ten digits with a right check digit, not one digit ten times"
            yield Issue("value", text, f"{path}.value", detail="INVALID_NHS_NUMBER")
        elif system in ODS and not is_ods_code(value):
            yield Issue("value", "not an ODS code; expected 1 to 12 capital letters and digits", f"{path}.value")


def periods(resource: dict[str, Any]) -> Iterator[Issue]:
    """per-1: a period does not end before it starts."""
    for path, element in _walk(resource, resource["resourceType"]):
        start, end = element.get("start"), element.get("end")
        if isinstance(start, str) and isinstance(end, str):
            try:
                if interval(end)[1] <= interval(start)[0]:
                    yield Issue(
                        "invariant", "the period ends before it starts; expected the end not before the start", path
                    )
            except ValueError:
                continue


def study_uid(resource: dict[str, Any]) -> Iterator[Issue]:
    """A study has exactly one study UID, of right form."""
    found = [
        (number, str(one.get("value", "")))
        for number, one in enumerate(resource.get("identifier") or ())
        if one.get("system") == DICOM_UID
    ]
    if len(found) != 1:
        yield Issue(
            "required",
            f"{len(found)} study UIDs; expected exactly one identifier in {DICOM_UID} with urn:oid: and the UID",
            "ImagingStudy.identifier",
        )
    for number, value in found:
        if not value.startswith("urn:oid:") or not is_uid(bare_uid(value)):
            text = "not a study UID; expected urn:oid: and at most 64 digits and full stops"
            yield Issue("value", text, f"ImagingStudy.identifier[{number}].value")


def study_tree(resource: dict[str, Any]) -> Iterator[Issue]:
    """UIDs of series and instances are well formed and not repeated; stated counts are those of the children."""
    seen: set[str] = set()
    series = resource.get("series") or []
    for number, one in enumerate(series):
        place = f"ImagingStudy.series[{number}]"
        yield from _uid(one.get("uid"), f"{place}.uid", seen)
        instances = one.get("instance") or []
        for position, instance in enumerate(instances):
            yield from _uid(instance.get("uid"), f"{place}.instance[{position}].uid", seen)
        yield from _count(one.get("numberOfInstances"), len(instances), f"{place}.numberOfInstances")
    yield from _count(resource.get("numberOfSeries"), len(series), "ImagingStudy.numberOfSeries")


def _uid(value: Any, place: str, seen: set[str]) -> Iterator[Issue]:
    text = bare_uid(str(value))
    if not is_uid(text):
        yield Issue(
            "value", "not a DICOM UID; expected at most 64 digits and full stops, no part with a leading zero", place
        )
    elif text in seen:
        yield Issue("invariant", "this UID stands twice in the study; expected each once", place)
    seen.add(text)


def _count(stated: Any, counted: int, place: str) -> Iterator[Issue]:
    if isinstance(stated, int) and counted and stated != counted:
        yield Issue("invariant", f"the count is {stated}, but {counted} are listed; expected them to agree", place)


def consent(resource: dict[str, Any]) -> Iterator[Issue]:
    """A consent that can be evaluated: whose, when, and provisions of known type at most four deep."""
    for name in ("patient", "dateTime"):
        if name not in resource:
            yield Issue("required", f"{name} is missing; expected one", f"Consent.{name}")
    if "implicitRules" in resource:
        yield Issue("not-supported", "implicit rules are not understood; expected none", "Consent.implicitRules")
    yield from _told_here(resource)
    for place, element in _walk(resource, "Consent"):
        if "modifierExtension" in element:
            text = "a modifier that is not understood; expected none, since it could change what is said"
            yield Issue("not-supported", text, f"{place}.modifierExtension")
    if not any(name in resource for name in ("policy", "policyRule")):
        yield Issue("invariant", "neither policy nor policyRule; expected one of them (ppc-1)", "Consent")
    root = resource.get("provision")
    if isinstance(root, dict):
        counter = [0]
        yield from _provision(root, None, "Consent.provision", 1, counter)
        if counter[0] > MOST_PROVISIONS:
            text = f"more than {MOST_PROVISIONS} provisions; expected fewer"
            yield Issue("too-costly", text, "Consent.provision")
        if "type" not in root and "policyRule" not in resource:
            yield Issue(
                "required", "neither a type nor a policyRule; expected permit or deny", "Consent.provision.type"
            )


def _told_here(resource: dict[str, Any]) -> Iterator[Issue]:
    """Whose choice it is and whom it names can be told from what is held here: nobody else's address is ever asked."""
    patient = (resource.get("patient") or {}).get("reference")
    if "patient" in resource and not (isinstance(patient, str) and patient.startswith("Patient/")):
        yield Issue("value", "not a patient held here; expected Patient/ and an id", "Consent.patient.reference")
    pending = [("Consent.provision", resource.get("provision"))]
    while pending:
        place, provision = pending.pop()
        if not isinstance(provision, dict):
            continue
        for number, actor in enumerate(provision.get("actor") or ()):
            named = actor.get("reference") if isinstance(actor, dict) else None
            text = named.get("reference") if isinstance(named, dict) else None
            if isinstance(text, str) and ":" in text:
                told = "an actor at another address cannot be told; expected a reference without one, or an identifier"
                yield Issue("value", told, f"{place}.actor[{number}].reference.reference")
        nested = provision.get("provision")
        pending += [
            (f"{place}.provision[{n}]", one) for n, one in enumerate(nested if isinstance(nested, list) else ())
        ]


def _provision(value: dict[str, Any], above: str | None, place: str, depth: int, counter: list[int]) -> Iterator[Issue]:
    counter[0] += 1
    if counter[0] > MOST_PROVISIONS:
        return
    if depth > DEEPEST_PROVISION:
        yield Issue("invariant", f"nested more than {DEEPEST_PROVISION} deep; expected fewer levels", place)
        return
    kind = value.get("type")
    if above is not None and kind is None:
        yield Issue("required", "a nested provision without a type; expected permit or deny", f"{place}.type")
    for number, inner in enumerate(value.get("provision") or ()):
        if isinstance(inner, dict):
            where = f"{place}.provision[{number}]"
            if inner.get("type") is not None and inner.get("type") == kind and not inner.get("provision"):
                yield Issue(
                    "invariant", "an exception of its parent's own type; expected the opposite", f"{where}.type"
                )
            yield from _provision(inner, kind or "", where, depth + 1, counter)


def endpoint(resource: dict[str, Any]) -> Iterator[Issue]:
    """An address that may be followed: https, a host, no user name; and somebody who answers for it."""
    if "managingOrganization" not in resource:
        yield Issue("required", "managingOrganization is missing; expected one", "Endpoint.managingOrganization")
    try:
        parts = urlsplit(str(resource.get("address", "")))
        host = parts.hostname
    except ValueError:
        host = None
        parts = urlsplit("")
    loopback = host in ("127.0.0.1", "localhost", "::1")
    if not host or parts.username or (parts.scheme != "https" and not (parts.scheme == "http" and loopback)):
        text = "not a safe address; expected https and a host, without a user name"
        yield Issue("value", text, "Endpoint.address")


RULES: dict[str, tuple[Rule, ...]] = {
    "ImagingStudy": (study_uid, study_tree),
    "Consent": (consent,),
    "Endpoint": (endpoint,),
}
