"""SMART scopes as a ceiling: https://hl7.org/fhir/smart-app-launch/scopes-and-launch-context.html.

v1 (`read`, `write`, `*`) and v2 (letters of `cruds` in order), for patient, user and system. Scopes never widen policy.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from app.fhir.outcome import Fault
from app.fhir.registry import TYPES

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
_FORM = re.compile(r"(patient|user|system)/(\*|[A-Z][A-Za-z]+)\.(read|write|\*|c?r?u?d?s?)\Z")


@dataclass(frozen=True, slots=True)
class Scope:
    context: str
    type: str
    letters: str


@lru_cache(maxsize=4096)
def parse(text: str) -> Scope | None:
    """A resource scope; None for any other text, which then grants nothing."""
    found = _FORM.match(text)
    if found is None or not found[3]:
        return None
    if found[2] != "*" and found[2] not in TYPES:
        return None
    return Scope(found[1], found[2], V1.get(found[3], found[3]))


def faults(text: str) -> list[str]:
    """Those of the scopes in a request that are neither resource scopes nor known names."""
    return [one for one in text.split() if one not in NAMES and parse(one) is None]


NAMES = frozenset({"openid", "fhirUser", "profile", "launch", "launch/patient", "offline_access", "online_access"})


def allows(scopes: tuple[str, ...], type_name: str, interaction: str) -> bool:
    """Whether any scope covers the interaction on the type."""
    letter = LETTER[interaction]
    for text in scopes:
        scope = parse(text)
        if scope is not None and scope.type in ("*", type_name) and letter in scope.letters:
            return True
    return False


def authorize(scopes: tuple[str, ...], type_name: str, interaction: str) -> None:
    """Raises Fault "forbidden" unless the scopes cover the interaction on the type."""
    if not allows(scopes, type_name, interaction):
        raise Fault(
            "forbidden",
            f"the token's scopes do not cover this on {type_name}; expected one with '{LETTER[interaction]}' for it",
            detail="ACCESS_DENIED",
        )


def covered(asked: str, registered: str) -> bool:
    """Whether every scope asked for lies within the registered ones."""
    ceiling = [scope for scope in map(parse, registered.split()) if scope]
    for text in asked.split():
        scope = parse(text)
        if scope is None:
            if text not in registered.split():
                return False
            continue
        wanted = set(scope.letters)
        for one in ceiling:
            if one.context == scope.context and one.type in ("*", scope.type):
                wanted -= set(one.letters)
        if wanted:
            return False
    return True
