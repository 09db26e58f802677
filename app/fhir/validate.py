"""Nothing wrong is stored: structure first, then the registry's rules, all issues of a resource at once."""

from __future__ import annotations

from typing import Any

from app.fhir import rules, structure
from app.fhir.outcome import Fault, Issue


def validate(resource: dict[str, Any]) -> list[Issue]:
    """Every issue, errors and warnings, each with its FHIRPath expression."""
    found = structure.faults(resource)
    if any(issue.code == "structure" for issue in found):
        return found  # the rules read elements of the right shape
    places = {issue.expression for issue in found}
    return found + [issue for issue in rules.faults(resource) if issue.expression not in places]


def check(resource: dict[str, Any]) -> list[Issue]:
    """The warnings. Raises Fault "unprocessable" with every issue where any is an error."""
    found = validate(resource)
    errors = [issue for issue in found if issue.severity == "error"]
    if errors:
        raise Fault("unprocessable", errors[0].text, errors[0].expression, issues=tuple(found))
    return found
