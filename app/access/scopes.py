"""SMART scopes as a ceiling: https://hl7.org/fhir/smart-app-launch/scopes-and-launch-context.html.

v1 (`read`, `write`, `*`) and v2 (letters of `cruds` in order), for patient, user and system, each as granular as search
parameters make it (`.rs?modality=CT`). What a token may touch is the union of its scopes; scopes never widen policy. A
`patient/` scope without a patient in context lets nothing through.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from urllib.parse import parse_qsl

from app.access.subject import Subject
from app.fhir.outcome import Fault
from app.fhir.query import Clause, Condition
from app.fhir.registry import TYPES
from app.fhir.search import parse as parse_search
from app.policy.grant import Slice

LETTER = {
    "create": "c",
    "read": "r",
    "vread": "r",
    "history-instance": "r",
    "update": "u",
    "patch": "u",
    "delete": "d",
    "search-type": "s",
    "history-type": "s",
    "history-system": "s",
}
V1 = {"read": "rs", "write": "cud", "*": "cruds"}
LONGEST = 512
MOST = 64  # scopes in one request
_FORM = re.compile(r"(patient|user|system)/(\*|[A-Z][A-Za-z]+)\.(read|write|\*|c?r?u?d?s?)(?:\?(.+))?\Z")
_TEXT = re.compile(r"[\x21\x23-\x5B\x5D-\x7E]+\Z")  # RFC 6749, section 3.3

NAMES = frozenset(
    {
        "openid",
        "fhirUser",
        "profile",
        "launch",
        "launch/patient",
        "launch/encounter",
        "launch/imagingstudy",
        "offline_access",
        "online_access",
    }
)

# Of no patient: a patient's app may know of the organisations, people and places that the patient's data name.
_OF_NOBODY = frozenset(
    name for name, definition in TYPES.items() if definition.visibility in ("directory", "conformance")
)


@dataclass(frozen=True, slots=True)
class Scope:
    """`where` is what search parameters narrow it to; `pairs` are they, as given and in order."""

    context: str
    type: str
    letters: str
    where: tuple[Condition, ...] = ()
    pairs: tuple[tuple[str, str], ...] = ()
    query: str = ""

    @property
    def text(self) -> str:
        return f"{self.context}/{self.type}.{self.letters}" + (f"?{self.query}" if self.query else "")


@lru_cache(maxsize=4096)
def parse(text: str) -> Scope | None:
    """A resource scope; None for any other text, which then grants nothing."""
    found = _FORM.match(text) if len(text) <= LONGEST and _TEXT.match(text) else None
    if found is None or not found[3]:
        return None
    if found[2] != "*" and found[2] not in TYPES:
        return None
    narrowed: tuple[tuple[tuple[str, str], ...], tuple[Condition, ...]] | None = ((), ())
    if found[4]:
        narrowed = _granular(found[2], found[4])
    if narrowed is None:
        return None
    pairs, where = narrowed
    return Scope(found[1], found[2], V1.get(found[3], found[3]), where, pairs, found[4] or "")


def _granular(type_name: str, query: str) -> tuple[tuple[tuple[str, str], ...], tuple[Condition, ...]] | None:
    """Plain search parameters of one type that is searched by its index: no modifier, chain, include or control."""
    if type_name == "*" or TYPES[type_name].visibility == "conformance" or type_name == "AuditEvent":
        return None
    try:
        pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=True, errors="strict")
        parsed = parse_search(type_name, pairs, at=0)
    except (ValueError, Fault):
        return None
    plain = all(isinstance(one, Clause) and one.modifier is None for one in parsed.where)
    if not plain or len(parsed.where) != len(pairs):
        return None
    return tuple(sorted(pairs)), parsed.where


def faults(text: str) -> list[str]:
    """Those of the scopes in a request that are neither resource scopes nor known names."""
    given = text.split(" ")
    return [one for one in given if one not in NAMES and parse(one) is None] + given[MOST:]


def of_context(text: str, *contexts: str) -> bool:
    """Whether any scope of the request is of one of these contexts."""
    return any(scope.context in contexts for scope in map(parse, text.split()) if scope)


def _reaching(scopes: Iterable[str], type_name: str, letters: str) -> Iterable[Scope]:
    for text in scopes:
        scope = parse(text)
        if scope is not None and scope.type in ("*", type_name) and not set(letters).isdisjoint(scope.letters):
            yield scope


def allows(subject: Subject, type_name: str, interaction: str) -> bool:
    """Whether any scope covers some of the interaction on the type."""
    reaching = _reaching(subject.scopes, type_name, LETTER[interaction])
    return any(scope.context != "patient" or subject.patient is not None for scope in reaching)


def authorize(subject: Subject, type_name: str, interaction: str) -> None:
    """Raises Fault "forbidden" unless the scopes cover some of the interaction on the type."""
    if not allows(subject, type_name, interaction):
        raise Fault(
            "forbidden",
            f"the token's scopes do not cover this on {type_name}; expected one with '{LETTER[interaction]}' for it",
            detail="ACCESS_DENIED",
        )


def ceiling(subject: Subject, type_name: str, interaction: str) -> Mapping[str, tuple[Slice, ...]]:
    """What of each type the scopes let through; a type that is not named is let through whole.

    Of the type that is asked for by the interaction's letter, of others, reached by include or chain, by `r` or `s`.
    """
    own = subject.patient if subject.role == "patient" else None
    return _ceiling(subject.scopes, type_name, LETTER[interaction], subject.patient, own, subject.role == "patient")


@lru_cache(maxsize=4096)
def _ceiling(
    scopes: tuple[str, ...], type_name: str, letter: str, patient: str | None, own: str | None, of_patient: bool
) -> Mapping[str, tuple[Slice, ...]]:
    found = {}
    for name in TYPES:
        letters = letter if name == type_name else "rs"
        slices = {_slice(scope, name, patient) for scope in _reaching(scopes, name, letters)} - {None}
        if of_patient and name not in _OF_NOBODY:
            # Whoever logs in as a patient sees that patient, whatever the scopes say.
            slices = {Slice(own, one.where) for one in slices if one is not None} if own else set()
        if Slice() not in slices:
            found[name] = tuple(sorted((one for one in slices if one is not None), key=repr))
    return MappingProxyType(found)


def _slice(scope: Scope, type_name: str, patient: str | None) -> Slice | None:
    if scope.context != "patient":
        return Slice(None, scope.where)
    if patient is None:
        return None
    return Slice(None if type_name in _OF_NOBODY else patient, scope.where)


def covered(asked: str, registered: str) -> bool:
    """Whether every scope asked for lies within the registered ones."""
    ceilings = [scope for scope in map(parse, registered.split()) if scope]
    for text in asked.split():
        scope = parse(text)
        if scope is None:
            if text not in registered.split():
                return False
            continue
        wanted = set(scope.letters)
        for one in ceilings:
            if one.context == scope.context and one.type in ("*", scope.type) and set(one.pairs) <= set(scope.pairs):
                wanted -= set(one.letters)
        if wanted:
            return False
    return True


def within(asked: str, registered: str) -> str:
    """The part of what is asked for that lies within what is registered, each scope once; empty where none does."""
    known = registered.split()
    found: dict[str, None] = {}
    for text in asked.split():
        scope = parse(text)
        if covered(text, registered):
            found[text] = None
        elif scope is not None:
            for one in filter(None, map(parse, known)):
                if (common := _common(scope, one)) is not None:
                    found[common] = None
    return " ".join(found)


def _common(one: Scope, other: Scope) -> str | None:
    if one.context != other.context or ("*" not in (one.type, other.type) and one.type != other.type):
        return None
    letters = "".join(letter for letter in one.letters if letter in other.letters)
    type_name = other.type if one.type == "*" else one.type
    queries = [query for query in dict.fromkeys((one.query, other.query)) if query]
    if one.pairs and set(one.pairs) <= set(other.pairs):
        queries = [other.query]
    text = f"{one.context}/{type_name}.{letters}" + (f"?{'&'.join(queries)}" if queries else "")
    return text if letters and parse(text) is not None else None
