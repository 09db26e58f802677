"""What policy may look at in an ImagingStudy or DiagnosticReport, read once when it is written.

https://hl7.org/fhir/R4/imagingstudy.html, https://hl7.org/fhir/R4/diagnosticreport.html. An attribute that is not
stated, or cannot be read, is a fact of its own: `?` marks it (README.md, traps).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from app.fhir.temporal import interval
from app.policy import coding
from app.policy.coding import listed
from app.policy.model import Study
from app.policy.organisation import questions

Resolve = Callable[[str], str | None]

STARTED = {"ImagingStudy": ("started",), "DiagnosticReport": ("effectiveDateTime",)}
AUTHORS = {"ImagingStudy": ("interpreter",), "DiagnosticReport": ("performer", "resultsInterpreter")}
RELATED = {
    "ImagingStudy": ("encounter", "basedOn", "procedureReference", "reasonReference"),
    "DiagnosticReport": ("encounter", "basedOn", "imagingStudy"),
}
# Kinds of thing that a study belongs to; when it names none of a kind, nobody can say to which it belongs.
BELONGS = ("Encounter", "EpisodeOfCare", "ServiceRequest")
UNREADABLE_STATUS = "entered-in-error"  # a status that cannot be read is treated as the worst


def compile_study(resource: dict[str, Any], resolve: Resolve, owner: str | None, zone: str) -> Study:
    """The study's facts. `owner` is the organisation of the client that wrote it, the origin of last resort."""
    kind = str(resource.get("resourceType"))
    series = _series(resource)
    origins = origins_of(resource, resolve, owner)
    instances = [i for one in series for i in listed(one.get("instance")) if isinstance(i, dict)]
    status = resource.get("status")
    modalities = [*listed(resource.get("modality")), *(one.get("modality") for one in series)]
    codes = [*listed(resource.get("procedureCode")), *listed(resource.get("code"))]
    meta = resource.get("meta")
    return Study(
        ref=f"{kind}/{resource.get('id')}",
        patient=_patient(resource.get("subject"), resolve),
        origins=origins,
        status=status if isinstance(status, str) and status else UNREADABLE_STATUS,
        started=_started(resource, kind, zone),
        facts={
            "modality": coding.modality(modalities),
            "code": coding.stated(codes),
            "site": coding.stated([one["bodySite"] for one in series if "bodySite" in one]),
            "label": coding.labels(listed(meta.get("security")) if isinstance(meta, dict) else []),
            "author": _authors(resource, kind, series, origins, resolve),
            "related": _related(resource, kind),
            "class": _classes(resource, kind, instances),
        },
    )


def origins_of(resource: dict[str, Any], resolve: Resolve, owner: str | None) -> frozenset[str]:
    """The organisations that made the study, as `compile_study` finds them."""
    return frozenset(_origins(resource, _series(resource), resolve, owner))


def _series(resource: dict[str, Any]) -> list[dict[str, Any]]:
    return [one for one in listed(resource.get("series")) if isinstance(one, dict)]


def identifiers(resource: dict[str, Any]) -> Iterator[str]:
    """Each identifier as a fact: `identifier:system|value`."""
    for one in listed(resource.get("identifier")):
        if isinstance(one, dict) and isinstance(one.get("value"), str):
            yield f"identifier:{one.get('system') or ''}|{one['value']}"


def _patient(subject: object, resolve: Resolve) -> str | None:
    if not isinstance(subject, dict):
        return None
    text = subject.get("reference")
    if isinstance(text, str) and text:
        return resolve(text) or (text if text.startswith("Patient/") else None)
    return next((found for one in identifiers(subject) if (found := resolve(one))), None)


def _origins(
    resource: dict[str, Any], series: list[dict[str, Any]], resolve: Resolve, owner: str | None
) -> Iterator[str]:
    numbers = [one for one in listed(resource.get("identifier")) if isinstance(one, dict)]
    accessions = [one for one in numbers if any(code == "ACSN" for _, code in coding.codings(one.get("type")))]
    assigners = [found for one in accessions if isinstance(found := one.get("assigner"), dict)]
    found = {key for assigner in assigners for asked in questions(assigner) if (key := resolve(asked))}
    if not found:
        pointers = [p for part in (resource, *series) for p in listed(part.get("endpoint")) if isinstance(p, dict)]
        found = {key for p in pointers if isinstance(text := p.get("reference"), str) and (key := resolve(text))}
    yield from found or ({owner} if owner else ())


def _started(resource: dict[str, Any], kind: str, zone: str) -> tuple[int, int] | None:
    period = resource.get("effectivePeriod")
    try:
        if kind == "DiagnosticReport" and isinstance(period, dict):
            return interval(period["start"], zone)[0], interval(period["end"], zone)[1]
        for element in STARTED.get(kind, ()):
            if element in resource:
                return interval(resource[element], zone)
    except (ValueError, TypeError, KeyError):
        return None
    return None


def _authors(
    resource: dict[str, Any], kind: str, series: list[dict[str, Any]], origins: frozenset[str], resolve: Resolve
) -> frozenset[str]:
    named = [p for element in AUTHORS.get(kind, ()) for p in listed(resource.get(element))]
    named += [p.get("actor") if isinstance(p, dict) else p for one in series for p in listed(one.get("performer"))]
    found: set[str] = set()
    for reference in named:
        text = reference.get("reference") if isinstance(reference, dict) else None
        found.add((resolve(text) if isinstance(text, str) else None) or "?")
    for origin in origins:
        found.add(origin)
        found |= set(_above(origin, resolve))
    if not any(one.startswith("Practitioner/") for one in found):
        found.add("?Practitioner")
    if not origins:
        found.add("?Organization")
    return frozenset(found)


def _above(key: str, resolve: Resolve) -> Iterator[str]:
    """The trust above a site, and so on up, where the resolver tells."""
    for _ in range(8):
        parent = resolve(f"parent:{key}")
        if parent is None:
            return
        yield parent
        key = parent


def _related(resource: dict[str, Any], kind: str) -> frozenset[str]:
    named = [r for element in RELATED.get(kind, ()) for r in listed(resource.get(element))]
    named += [
        e["valueReference"] for e in listed(resource.get("extension")) if isinstance(e, dict) and "valueReference" in e
    ]
    found: set[str] = set()
    for reference in named:
        text = reference.get("reference") if isinstance(reference, dict) else None
        names = {local(text)} if isinstance(text, str) and text else set()
        if isinstance(reference, dict):
            names |= set(identifiers(reference))
        found |= names or {"?"}
    return frozenset(found | {f"?{one}" for one in BELONGS if not any(r.startswith(f"{one}/") for r in found)})


def local(reference: str) -> str:
    """A reference without its version."""
    return reference.split("/_history/")[0]


def _classes(resource: dict[str, Any], kind: str, instances: list[dict[str, Any]]) -> frozenset[str]:
    """What the thing is: its type, its SOP classes, its own identifiers."""
    classes = {coding.value(*one) for i in instances for one in coding.codings(i.get("sopClass"))}
    return frozenset({coding.value(coding.RESOURCE_TYPES, kind)} | (classes or {"?sop"}) | set(identifiers(resource)))
