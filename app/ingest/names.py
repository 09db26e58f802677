"""Person names: PN with its component groups, in any character set that pydicom decodes.

PS3.5 section 6.2.1; https://hl7.org/fhir/R4/datatypes.html#HumanName. An alphabetic, an ideographic and a phonetic
group are one name written three ways, so each becomes a HumanName marked with its representation.
"""

from __future__ import annotations

from typing import Any

from pydicom.valuerep import PersonName

from app.ingest.reading import clean

REPRESENTATION = "http://hl7.org/fhir/StructureDefinition/iso21090-EN-representation"
GROUPS = ("ABC", "IDE", "SYL")


def groups(value: Any) -> list[str]:
    """The component groups of a PN value as text: alphabetic, ideographic, phonetic; empty ones as ""."""
    if isinstance(value, PersonName):
        parts = [value.alphabetic, value.ideographic, value.phonetic]
    else:
        parts = str(value).split("=")[:3]
    return [clean(part) or "" for part in parts]


def display(value: Any) -> str | None:
    """A name as one would say it, from the first group that has anything: prefix, given, middle, family, suffix."""
    for group in groups(value):
        family, given, middle, prefix, suffix = _components(group)
        text = " ".join(part for part in (prefix, given, middle, family, suffix) if part)
        if text:
            return text
    return None


def human_names(value: Any) -> list[dict[str, Any]]:
    """A HumanName for each component group that has anything."""
    names = []
    found = groups(value)
    several = sum(1 for group in found if group.strip("^ ")) > 1
    for code, group in zip(GROUPS, found, strict=False):
        family, given, middle, prefix, suffix = _components(group)
        name: dict[str, Any] = {}
        if several:
            name["extension"] = [{"url": REPRESENTATION, "valueCode": code}]
        if family:
            name["family"] = family
        if given or middle:
            name["given"] = [part for part in (given, middle) if part]
        if prefix:
            name["prefix"] = [prefix]
        if suffix:
            name["suffix"] = [suffix]
        if any(key != "extension" for key in name):
            names.append(name)
    return names


def _components(group: str) -> tuple[str, str, str, str, str]:
    parts = [part.strip() for part in group.split("^")[:5]]
    family, given, middle, prefix, suffix = parts + [""] * (5 - len(parts))
    return family, given, middle, prefix, suffix
