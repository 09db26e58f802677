"""How well a Patient fits what was asked for: https://hl7.org/fhir/R4/patient-operation-match.html

Certain is only what an identifier and the birth date say together; a name and a birth date are never more than
probable, and an identifier with another birth date never more than possible.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from app.fhir.index import normalise

GRADE = "http://hl7.org/fhir/StructureDefinition/match-grade"
SCORES = {"certain": 1.0, "probable": 0.8, "possible": 0.5}

Given = Mapping[str, Any]


def identifiers(patient: Given) -> Iterator[tuple[str, str]]:
    """(system, value) of each identifier that can be searched by."""
    for one in patient.get("identifier") or ():
        if isinstance(one, dict) and isinstance(one.get("system"), str) and isinstance(one.get("value"), str):
            yield one["system"], one["value"]


def families(patient: Given) -> list[str]:
    names = [one for one in patient.get("name") or () if isinstance(one, dict)]
    return [normalise(one["family"]) for one in names if isinstance(one.get("family"), str)]


def grade(asked: Given, found: Given) -> str | None:
    """certain | probable | possible, or None where it is somebody else."""
    numbered = not set(identifiers(asked)).isdisjoint(identifiers(found))
    born = _agree(asked.get("birthDate"), found.get("birthDate"))
    named = not set(families(asked)).isdisjoint(families(found)) if families(asked) else None
    sex = _agree(asked.get("gender"), found.get("gender"))
    if numbered:
        return "certain" if born and named is not False else "possible"
    if born and named:
        return "possible" if sex is False or not _given(asked, found) else "probable"
    return None


def _agree(asked: object, found: object) -> bool | None:
    """Whether both say the same; None where one says nothing."""
    return asked == found if isinstance(asked, str) and isinstance(found, str) else None


def _given(asked: Given, found: Given) -> bool:
    def names(patient: Given) -> set[str]:
        listed = [one.get("given") or () for one in patient.get("name") or () if isinstance(one, dict)]
        return {normalise(name) for given in listed for name in given if isinstance(name, str)}

    return not names(asked).isdisjoint(names(found))
