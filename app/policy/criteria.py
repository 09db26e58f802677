"""The elements of a Consent provision, read once into conditions.

https://hl7.org/fhir/R4/consent-definitions.html#Consent.provision. An element that is present but cannot be read is
UNKNOWN, never absent: an absent element would widen a permit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from app.fhir.temporal import interval
from app.policy import coding
from app.policy.care import post_from
from app.policy.coding import LEVELS
from app.policy.model import ROLES
from app.policy.organisation import questions
from app.policy.predicate import FALSE, TRUE, UNKNOWN, AnyOf, Expr, Is, Started, conj, definitely, disj, negate
from app.policy.provision import UNRESOLVED, Actor
from app.policy.study import BELONGS, local

Resolve = Callable[[str], str | None]

FILTERS = ("actor", "action", "securityLabel", "purpose", "class", "code", "dataPeriod", "data")
HL7 = "http://terminology.hl7.org/CodeSystem/"  # its roles say how an actor takes part, not who may be one
KNOWN = frozenset({"id", "extension", "type", "period", "provision", *FILTERS})
STUDY_TYPES = ("ImagingStudy", "DiagnosticReport")
OPEN_ACTIONS = frozenset({"access", "use", "disclose"})
OTHER_ACTIONS = frozenset({"collect", "correct"})


@dataclass(frozen=True, slots=True)
class Reader:
    """What reading needs beside the element itself, and what it found: `faults` that make the whole choice
    indeterminate, and `doubts`, which are somebody's to put right though the choice can be judged without."""

    resolve: Resolve
    zone: str
    patient: str | None
    contained: dict[str, dict[str, Any]]
    faults: list[str] = field(default_factory=list)
    doubts: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Criteria:
    low: int | None
    high: int | None
    actors: tuple[Actor, ...] | None
    purposes: frozenset[str] | None
    study: Expr


def read(provision: dict[str, Any], permit: bool, reader: Reader) -> Criteria:
    """The conditions of one provision. Its type matters to confidentiality labels alone (P15)."""
    low, high, readable = period(provision, reader.zone)
    parts: list[Expr] = [] if readable else [UNKNOWN]
    reader.faults.extend(() if readable else ("PERIOD",))
    if any(name not in KNOWN and not name.startswith("_") for name in provision):
        parts.append(UNKNOWN)
    parts += [UNKNOWN for name in provision if name.startswith("_") and name[1:] not in provision]
    purposes, unsure = _purposes(provision)
    parts += [UNKNOWN] if unsure else []
    parts += [_any(provision, name, one, reader, permit) for name, one in ELEMENTS.items() if name in provision]
    return Criteria(low, high, _actors(provision, reader), purposes, conj(*parts))


def _any(
    provision: dict[str, Any], name: str, one: Callable[[Any, Reader, bool], Expr], reader: Reader, permit: bool
) -> Expr:
    """Any of the values of an element."""
    found = provision[name]
    if name == "dataPeriod":
        return one(found, reader, permit)
    if not isinstance(found, list) or not found:
        return UNKNOWN
    return disj(*(one(value, reader, permit) if isinstance(value, dict) else UNKNOWN for value in found))


def period(provision: dict[str, Any], zone: str) -> tuple[int | None, int | None, bool]:
    """[low, high) and whether the period could be read: one that ends before it starts says nothing, not never."""
    if "period" not in provision:
        return None, None, True
    stated = provision["period"]
    if not isinstance(stated, dict) or not {"start", "end"} & stated.keys():
        return None, None, False
    try:
        low = interval(stated["start"], zone)[0] if "start" in stated else None
        high = interval(stated["end"], zone)[1] if "end" in stated else None
    except (ValueError, TypeError):
        return None, None, False
    if low is not None and high is not None and low >= high:
        return None, None, False
    return low, high, True


# Who, and what for -------------------------------------------------------------------------------------------------


def _actors(provision: dict[str, Any], reader: Reader) -> tuple[Actor, ...] | None:
    if "actor" not in provision:
        return None
    found = provision["actor"]
    if not isinstance(found, list) or not found:
        return (Actor(UNRESOLVED),)
    return tuple(_actor(one, reader) for one in found)


def _actor(actor: object, reader: Reader) -> Actor:
    if not isinstance(actor, dict) or "modifierExtension" in actor:
        return Actor(UNRESOLVED)
    found = list(coding.codings(actor.get("role")))
    roles = frozenset(code for _, code in found if code in ROLES)
    if "role" in actor and not all(
        code in roles or (system or "").startswith(HL7) for system, code in found or [(None, "")]
    ):
        return Actor(UNRESOLVED)
    if "reference" not in actor:
        return Actor(None, roles) if roles else Actor(UNRESOLVED)
    key = named(actor["reference"], reader)
    text = actor["reference"].get("reference") if isinstance(actor["reference"], dict) else None
    if key is None:
        if isinstance(text, str) and (":" in text or text.startswith("#")):
            reader.doubts.append("ACTOR_ELSEWHERE")
        return Actor(UNRESOLVED, roles)
    if not (isinstance(text, str) and text.startswith("PractitionerRole/")):
        return Actor(key, roles)
    said = reader.resolve(f"post:{'/'.join(text.split('/')[:2])}")
    return Actor(key, roles, post_from(said)) if said else Actor(UNRESOLVED, roles)


def named(reference: object, reader: Reader) -> str | None:
    """The key of what a Reference names, by what was in store when the Consent was written; no address is ever asked."""
    if not isinstance(reference, dict):
        return None
    text = reference.get("reference")
    if isinstance(text, str) and text.startswith("#"):
        inside = reader.contained.get(text[1:], {})
        asked = [f"identifier:{i.get('system') or ''}|{i['value']}" for i in _identifiers(inside)]
    else:
        asked = list(questions(reference))
        if isinstance(text, str) and "/" in text and ":" not in text:
            asked.insert(0, "/".join(text.split("/")[:2]))
    return next((key for one in asked if (key := reader.resolve(one))), None)


def _identifiers(resource: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for one in coding.listed(resource.get("identifier")):
        if isinstance(one, dict) and isinstance(one.get("value"), str):
            yield one


def _purposes(provision: dict[str, Any]) -> tuple[frozenset[str] | None, bool]:
    """The codes of `purpose`, and whether something stated there could not be read: then it may be any purpose."""
    if "purpose" not in provision:
        return None, False
    found = provision["purpose"]
    pairs = [list(coding.codings(one)) for one in found] if isinstance(found, list) else []
    readable = (
        bool(pairs) and all(pairs) and all(system in (None, coding.ACT_REASON) for pair in pairs for system, _ in pair)
    )
    return (frozenset(code for pair in pairs for _, code in pair), False) if readable else (None, True)


# What ---------------------------------------------------------------------------------------------------------------


def _action(concept: dict[str, Any], reader: Reader, permit: bool) -> Expr:
    """Everything asked of a registry is access, use or disclosure; collection and correction are somebody else's."""
    found = [code if system in (None, coding.CONSENT_ACTION) else "" for system, code in coding.codings(concept)]
    if not OPEN_ACTIONS.isdisjoint(found):
        return TRUE
    return FALSE if found and OTHER_ACTIONS.issuperset(found) else UNKNOWN


def _label(concept: dict[str, Any], reader: Reader, permit: bool) -> Expr:
    return (
        disj(*(_one_label(system, code, permit) for system, code in coding.codings(concept)))
        if _coded(concept)
        else UNKNOWN
    )


def _one_label(system: str | None, code: str, permit: bool) -> Expr:
    if system == coding.CONFIDENTIALITY or (system is None and code in LEVELS):
        if code not in LEVELS:
            return UNKNOWN
        if not permit:
            return coding.rated(code)
        above = LEVELS[LEVELS.index(code) + 1 :]
        return negate(coding.rated(above[0]) if above else coding.stating("label", (), [coding.UNRATED]))
    if system is None:
        return UNKNOWN
    table = coding.BROADER_LABEL if system == coding.ACT_CODE else {}
    covered = coding.narrower(code, table)
    unsure = [coding.value(None, one) for one in covered] + [
        coding.value(system, one) for one in coding.broader(code, table)[1:]
    ]
    return coding.stating("label", [coding.value(system, one) for one in covered], [*unsure, "?"])


def _class(concept: dict[str, Any], reader: Reader, permit: bool) -> Expr:
    return disj(*(_one_class(system, code) for system, code in coding.codings(concept))) if _coded(concept) else UNKNOWN


def _one_class(system: str | None, code: str) -> Expr:
    if system == coding.RESOURCE_TYPES or (system is None and code in STUDY_TYPES):
        if code in ("Resource", "DomainResource"):
            return TRUE
        readable = code.isalpha() and code[0].isupper()
        return AnyOf("class", frozenset({coding.value(coding.RESOURCE_TYPES, code)})) if readable else UNKNOWN
    if system == coding.URI:
        return coding.stating("class", [coding.value(system, code)], ["?sop"])
    if system == coding.DCM:
        return _one_code(system, code)
    return disj(coding.stating("code", [coding.value(system, code)], ["?"]), UNKNOWN)


def _code(concept: dict[str, Any], reader: Reader, permit: bool) -> Expr:
    return disj(*(_one_code(system, code) for system, code in coding.codings(concept))) if _coded(concept) else UNKNOWN


def _one_code(system: str | None, code: str) -> Expr:
    """A modality (a DICOM code, system or not), else a procedure, or a body site where the study states sites."""
    if code in coding.MODALITIES and system in (None, coding.DCM):
        return coding.coded("modality", coding.DCM, code)
    if system is None:
        return UNKNOWN
    site = disj(
        definitely(AnyOf("site", frozenset({coding.value(system, code)}))),
        conj(definitely(AnyOf("site", frozenset({"?"}))), UNKNOWN),
    )
    return disj(coding.coded("code", system, code), site)


def _coded(concept: dict[str, Any]) -> bool:
    return any(True for _ in coding.codings(concept))


def _data_period(stated: object, reader: Reader, permit: bool) -> Expr:
    low, high, readable = period({"period": stated}, reader.zone)
    if not readable:
        reader.faults.append("DATA_PERIOD")
        return UNKNOWN
    return Started(low, high)


def _data(data: dict[str, Any], reader: Reader, permit: bool) -> Expr:
    reference = data.get("reference")
    if not isinstance(reference, dict) or "modifierExtension" in data:
        return UNKNOWN
    match data.get("meaning"):
        case "instance":
            return _instance(reference)
        case "related" | "dependents":
            return disj(_instance(reference), _related(reference, reader))
        case "authoredby":
            return _authored(reference, reader)
        case _:
            return UNKNOWN


def _instance(reference: dict[str, Any]) -> Expr:
    text, found = reference.get("reference"), set(_identifier(reference))
    if isinstance(text, str) and text:
        tail = "/".join(local(text).split("/")[-2:])
        if tail.split("/")[0] in STUDY_TYPES:
            return Is(frozenset({tail})) if tail == local(text) else conj(Is(frozenset({tail})), UNKNOWN)
        return FALSE if "/" in tail and tail[0].isupper() else UNKNOWN
    return AnyOf("class", frozenset(found)) if found else UNKNOWN


def _related(reference: dict[str, Any], reader: Reader) -> Expr:
    text, found = reference.get("reference"), set(_identifier(reference))
    if isinstance(text, str) and text:
        if text.startswith("Patient/"):
            return TRUE if "/".join(local(text).split("/")[:2]) == reader.patient else UNKNOWN
        found.add(local(text))
    kinds = [kind for kind in BELONGS if any(one.startswith(f"{kind}/") for one in found)] or (
        BELONGS if _vague(found) else []
    )
    return coding.stating("related", found, ["?", *(f"?{kind}" for kind in kinds)]) if found else UNKNOWN


def _vague(found: set[str]) -> bool:
    """No literal reference says what kind of thing is meant."""
    return all(one.startswith("identifier:") for one in found)


def _authored(reference: dict[str, Any], reader: Reader) -> Expr:
    key = named(reference, reader)
    if key is None:
        return UNKNOWN
    person = key.startswith("Practitioner/")
    return coding.stating("author", [key], ["?", "?Practitioner" if person else "?Organization"])


def _identifier(reference: dict[str, Any]) -> Iterator[str]:
    for one in _identifiers({"identifier": reference.get("identifier")}):
        yield f"identifier:{one.get('system') or ''}|{one['value']}"


ELEMENTS: dict[str, Callable[[Any, Reader, bool], Expr]] = {
    "action": _action,
    "securityLabel": _label,
    "class": _class,
    "code": _code,
    "dataPeriod": _data_period,
    "data": _data,
}
