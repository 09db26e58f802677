"""The value sets of our own, expanded: https://hl7.org/fhir/R4/valueset.html.

Lists that DICOM publishes are not copied: a ValueSet includes the canonical of a context group, and its codes are those
that pydicom knows. A code system that is not ours and not listed code by code is not expanded, and refused at start.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

from pydicom.sr._cid_dict import cid_concepts
from pydicom.sr._concepts_dict import concepts

Code = tuple[str, str]  # system, code

DCM = "http://dicom.nema.org/resources/ontology/DCM"
_GROUP = re.compile(r"http://dicom\.nema\.org/medical/dicom/current/output/chtml/part16/sect_CID_(\d+)\.html\Z")


class NotExpandable(ValueError):
    """A value set that cannot be enumerated from what is here."""


def expand(documents: Iterable[Mapping[str, Any]]) -> dict[str, frozenset[Code]]:
    """Canonical URL of each ValueSet to its codes. Raises NotExpandable."""
    documents = list(documents)
    sets = {one["url"]: one for one in documents if one["resourceType"] == "ValueSet"}
    systems = {one["url"]: one for one in documents if one["resourceType"] == "CodeSystem"}
    return {url: _codes(url, sets, systems, ()) for url in sets}


def _codes(url: str, sets: Mapping[str, Any], systems: Mapping[str, Any], above: tuple[str, ...]) -> frozenset[Code]:
    if group := _GROUP.match(url):
        return context_group(int(group[1]))
    if url in above or url not in sets:
        raise NotExpandable(f"the value set {url} is not here, or includes itself")
    found: set[Code] = set()
    compose = sets[url]["compose"]
    for include in compose.get("include", ()):
        found |= _included(include, sets, systems, (*above, url))
    for exclude in compose.get("exclude", ()):
        found -= _included(exclude, sets, systems, (*above, url))
    return frozenset(found)


def _included(
    include: Mapping[str, Any], sets: Mapping[str, Any], systems: Mapping[str, Any], above: tuple[str, ...]
) -> frozenset[Code]:
    parts = [_codes(one, sets, systems, above) for one in include.get("valueSet", ())]
    system = str(include.get("system", ""))
    if "filter" in include:
        raise NotExpandable(f"the value set {above[-1]} has a filter")
    if "concept" in include:
        parts.append(frozenset((system, one["code"]) for one in include["concept"]))
    elif system in systems:
        parts.append(frozenset((system, code) for code in _defined(systems[system].get("concept", ()))))
    elif system:
        raise NotExpandable(f"the code system {system} is not here")
    return frozenset.intersection(*parts) if parts else frozenset()


def _defined(concepts_: Iterable[Mapping[str, Any]]) -> Iterable[str]:
    for one in concepts_:
        yield one["code"]
        yield from _defined(one.get("concept", ()))


@cache
def context_group(number: int) -> frozenset[Code]:
    """The codes of a DICOM context group that are DICOM's own, such as 33, modality. PS3.16 annex B."""
    ours: Mapping[str, Any] = concepts["DCM"]
    return frozenset((DCM, code) for keyword in cid_concepts[number]["DCM"] for code in ours[keyword])
