"""Every fault a request can meet, as data: kind -> HTTP status -> FHIR IssueType.

https://hl7.org/fhir/R4/operationoutcome.html and https://hl7.org/fhir/R4/http.html#errors
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

# kind: (HTTP status, OperationOutcome.issue.code). The one place where the two meet.
KINDS: dict[str, tuple[int, str]] = {
    "structure": (400, "structure"),
    "invalid": (400, "invalid"),
    "unprocessable": (422, "invalid"),
    "required": (422, "required"),
    "value": (422, "value"),
    "invariant": (422, "invariant"),
    "code-invalid": (422, "code-invalid"),
    "login": (401, "login"),
    "forbidden": (403, "forbidden"),
    "not-found": (404, "not-found"),
    "not-supported": (405, "not-supported"),
    "not-acceptable": (406, "not-supported"),
    "conflict": (409, "conflict"),
    "duplicate": (409, "duplicate"),
    "deleted": (410, "deleted"),
    "multiple-matches": (412, "multiple-matches"),
    "version-conflict": (412, "conflict"),
    "too-costly": (413, "too-costly"),
    "media-type": (415, "not-supported"),
    "throttled": (429, "throttled"),
    "exception": (500, "exception"),
    "transient": (503, "transient"),
}


@dataclass(frozen=True, slots=True)
class Issue:
    """One OperationOutcome.issue. `text` says what was wrong, then what was expected, in lower case."""

    code: str
    text: str
    expression: str | None = None
    severity: str = "error"
    detail: str | None = None  # a code of the Spine error code system
    reason: str | None = None  # a code of app.policy.reason, where policy lets the requester know

    def as_fhir(self) -> dict[str, Any]:
        details: dict[str, Any] = {"text": self.text}
        codings = ((SPINE_CODES, self.detail), (REASON_CODES, self.reason))
        if coding := [{"system": system, "code": code} for system, code in codings if code]:
            details = {"coding": coding, "text": self.text}
        issue: dict[str, Any] = {"severity": self.severity, "code": self.code, "details": details}
        if self.expression:
            issue["expression"] = [self.expression]
        return issue


REASON_CODES = "https://imaging-registry.example/fhir/CodeSystem/registry-decision-reason"
SPINE_CODES = "https://fhir.hl7.org.uk/CodeSystem/UKCore-SpineErrorOrWarningCode"


@dataclass
class Fault(Exception):
    """A request that cannot be answered as asked. `kind` is a key of KINDS; `issues` may hold several."""

    kind: str
    text: str = ""
    expression: str | None = None
    detail: str | None = None
    issues: tuple[Issue, ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    reason: str | None = None
    recorded: bool = False  # in the audit, so that no edge records it again

    def __post_init__(self) -> None:
        super().__init__(self.text)
        if not self.issues:
            self.issues = (
                Issue(KINDS[self.kind][1], self.text, self.expression, detail=self.detail, reason=self.reason),
            )

    @property
    def status(self) -> int:
        return KINDS[self.kind][0]

    @property
    def outcome(self) -> dict[str, Any]:
        return operation_outcome(self.issues)

    def at(self, place: str) -> Fault:
        """The same fault with each expression put under `place`, for an entry of a Bundle."""
        moved = tuple(replace(issue, expression=_below(place, issue.expression)) for issue in self.issues)
        return Fault(self.kind, self.text, self.expression, self.detail, moved, self.headers)


_ROOT = re.compile(r"(?:[A-Z][A-Za-z]*(?=[.\[]|\Z)|(?=\[))")


def _below(place: str, expression: str | None) -> str:
    """`Patient.gender` of an entry's resource is `Bundle.entry[0].resource.gender`."""
    if not expression or expression.startswith(place):
        return expression or place
    rest, found = _ROOT.subn("resource", expression, count=1) if _ROOT.match(expression) else (expression, 0)
    return f"{place}.{rest}" if found or expression[0].isalpha() or expression[0] == "_" else place


def operation_outcome(issues: Iterable[Issue]) -> dict[str, Any]:
    """An OperationOutcome resource holding `issues` in order."""
    return {"resourceType": "OperationOutcome", "issue": [issue.as_fhir() for issue in issues]}
