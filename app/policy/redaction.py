"""What a clerical role is given of a study that is not its own organisation's (README.md, 4.12; P24): that it exists,
when, of what kind and from where. No Endpoint, no UIDs, no description, reason or note.

An element that is not shown cannot be searched, sorted or followed either: what it says would show in the answer.
"""

from __future__ import annotations

SHOWN: dict[str, tuple[str, ...]] = {
    "ImagingStudy": ("id", "status", "subject", "started", "modality"),
    "DiagnosticReport": ("id", "status", "subject", "code", "category", "effectiveDateTime", "effectivePeriod"),
}
META = ("versionId", "lastUpdated", "profile", "security")

_ALWAYS = frozenset({"_id", "_lastUpdated", "_profile", "_security", "patient", "subject", "status"})
_SEARCHED = {
    "ImagingStudy": _ALWAYS | {"started", "modality"},
    "DiagnosticReport": _ALWAYS | {"code", "category", "date"},
}


def hides(type_name: str, param: str) -> bool:
    """Whether the search parameter reads an element that redaction takes away."""
    return type_name in _SEARCHED and param not in _SEARCHED[type_name]
