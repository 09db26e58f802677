"""The value sets of our own, expanded: https://hl7.org/fhir/R4/valueset.html.

Lists that DICOM publishes are not copied: a ValueSet includes the canonical of a context group, and its codes are those
that pydicom knows. A code system that is not ours and not listed code by code is not expanded, and refused at start.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import cache
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

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


def context_group(number: int) -> frozenset[Code]:
    """The codes of a DICOM context group that are DICOM's own, such as 33, modality. PS3.16 annex B."""
    return _groups()[number]


@cache
def _groups() -> dict[int, frozenset[Code]]:
    """Every context group that has codes of DICOM's own.

    pydicom's two tables are read without the library around them, and let go: they are all that a web server needs of
    it, and would hold a sixth of its memory.
    """
    ours = _table("_concepts_dict").concepts["DCM"]
    codes = {keyword: tuple((DCM, code) for code in meanings) for keyword, meanings in ours.items()}
    return {
        number: frozenset(code for keyword in named["DCM"] for code in codes[keyword])
        for number, named in _table("_cid_dict").cid_concepts.items()
        if "DCM" in named
    }


def _table(name: str) -> Any:
    library = find_spec("pydicom")  # which is found, and not imported
    assert library is not None and library.origin is not None
    spec = spec_from_file_location(name, Path(library.origin).parent / "sr" / f"{name}.py")
    assert spec is not None and spec.loader is not None
    spec.loader.exec_module(module := module_from_spec(spec))
    return module
