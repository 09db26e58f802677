"""Known deviations of known senders, put right at the edge and said as a warning. Each is a property of a client.

What a client is not registered for is refused, with the reason. Nothing is guessed: every deviation here has one meaning
only. R5 ImagingStudy: https://hl7.org/fhir/R5/imagingstudy.html, as dcm4chee pushes it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from app.fhir.identifier import canonical_system
from app.fhir.outcome import Issue

Value = dict[str, Any]
Said = Iterator[tuple[str, str]]  # place, what was done

SCOPE = "terminology.hl7.org/CodeSystem/consentscope"
RECIPIENT = {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v3-ParticipationType", "code": "IRCP"}]}


def amend(resource: Value, tolerated: Iterable[str]) -> list[Issue]:
    """Put right, in place, what the client is registered to get wrong; a warning for each place."""
    issues = []
    for name in sorted(set(tolerated) & TOLERANCES.keys()):
        _, mend = TOLERANCES[name]
        for place, text in mend(resource):
            issues.append(Issue("value", f"{text} ({name})", place, "warning"))
    return issues


def _items(value: Any) -> list[tuple[int, Value]]:
    return [(n, one) for n, one in enumerate(value if isinstance(value, list) else ()) if isinstance(one, dict)]


def r5_imaging_study(resource: Value) -> Said:
    """modality, body site and laterality as CodeableConcept or CodeableReference; procedure and reason as one element."""
    if resource.get("resourceType") != "ImagingStudy":
        return
    yield from _flattened(resource, "modality", "ImagingStudy")
    for number, series in _items(resource.get("series")):
        for name in ("modality", "bodySite", "laterality"):
            yield from _flattened(series, name, f"ImagingStudy.series[{number}]")
    yield from _parted(resource, "procedure", "procedureCode", "procedureReference")
    yield from _parted(resource, "reason", "reasonCode", "reasonReference")


def _flattened(holder: Value, name: str, place: str) -> Said:
    """A CodeableConcept, or a CodeableReference with one, becomes its first coding."""
    value = holder.get(name)
    several = isinstance(value, list)
    kept = []
    for number, one in enumerate(value if isinstance(value, list) else [value]):
        concept = one.get("concept", one) if isinstance(one, dict) else one
        codings = concept.get("coding") if isinstance(concept, dict) else None
        if isinstance(codings, list) and codings and isinstance(codings[0], dict):
            kept.append(codings[0])
            where = f"{place}.{name}[{number}]" if several else f"{place}.{name}"
            yield where, "a CodeableConcept as in R5 was read as its first coding; expected a Coding"
        else:
            kept.append(one)
    if name in holder:
        holder[name] = kept if several else kept[0]


def _parted(resource: Value, name: str, code: str, reference: str) -> Said:
    """A list of CodeableReferences becomes codes and references."""
    value = resource.get(name)
    if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
        return
    codes = [one["concept"] for one in value if "concept" in one]
    references = [one["reference"] for one in value if "reference" in one]
    if code in resource or (reference in resource and references) or (len(references) > 1 and name == "procedure"):
        return
    del resource[name]
    if codes:
        resource[code] = codes
    if references:
        resource[reference] = references[0] if name == "procedure" else references
    yield f"ImagingStudy.{name}", f"an element of R5 was read as {code} and {reference}; expected those"


def ods_organisation_code(resource: Value) -> Said:
    """The name of the ODS system with an s for the z, in any Identifier."""
    stack: list[tuple[str, Any]] = [(str(resource.get("resourceType")), resource)]
    while stack:
        place, value = stack.pop()
        if isinstance(value, dict):
            system = value.get("system")
            if isinstance(system, str) and "value" in value and canonical_system(system) != system:
                value["system"] = canonical_system(system)
                yield f"{place}.system", f"a misspelt system was read as {value['system']}; expected that"
            stack += [(f"{place}.{name}", one) for name, one in value.items() if isinstance(one, (dict, list))]
        elif isinstance(value, list):
            stack += [(f"{place}[{number}]", one) for number, one in enumerate(value)]


def https_consentscope(resource: Value) -> Said:
    """The code system of consent scopes, written with https."""
    scope = resource.get("scope")
    if resource.get("resourceType") != "Consent" or not isinstance(scope, dict):
        return
    for number, coding in _items(scope.get("coding")):
        if coding.get("system") == f"https://{SCOPE}":
            coding["system"] = f"http://{SCOPE}"
            yield f"Consent.scope.coding[{number}].system", "a system with https was read with http; expected http"


def consent_actor_role(resource: Value) -> Said:
    """An actor of a provision without the role that R4 demands: whoever receives the information."""
    if resource.get("resourceType") != "Consent":
        return
    stack = [("Consent.provision", resource.get("provision"))]
    while stack:
        place, provision = stack.pop()
        if not isinstance(provision, dict):
            continue
        for number, actor in _items(provision.get("actor")):
            if "role" not in actor:
                actor["role"] = {"coding": [dict(RECIPIENT["coding"][0])]}
                yield (
                    f"{place}.actor[{number}].role",
                    "a missing role was read as information recipient; expected a role",
                )
        stack += [(f"{place}.provision[{number}]", one) for number, one in _items(provision.get("provision"))]


# name: what it is for, and what puts it right. The names are those of `client add --tolerate`.
TOLERANCES: dict[str, tuple[str, Callable[[Value], Said]]] = {
    "r5-imaging-study": ("ImagingStudy with the elements of R5, as dcm4chee pushes it", r5_imaging_study),
    "ods-organisation-code": ("the ODS system spelt with an s", ods_organisation_code),
    "https-consentscope": ("the system of consent scopes with https", https_consentscope),
    "consent-actor-role": ("an actor of a Consent's provision without a role", consent_actor_role),
}
EVERYONE = ("ods-organisation-code",)  # what a client is registered for where nothing else is said
