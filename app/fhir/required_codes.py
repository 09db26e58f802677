"""Codes of required bindings that the models of `fhir.resources` leave out or cut short: https://hl7.org/fhir/R4/valuesets.html"""

from __future__ import annotations

from collections.abc import Mapping

_COMPARATOR = "< <= > >="

# By type or backbone and element.
REQUIRED_CODES: Mapping[tuple[str, str], frozenset[str]] = {
    place: frozenset(codes.split())
    for place, codes in {
        ("DiagnosticReport", "status"): "registered partial preliminary final amended corrected appended cancelled"
        " entered-in-error unknown",
        (
            "Task",
            "status",
        ): "draft requested received accepted rejected ready cancelled in-progress on-hold failed completed"
        " entered-in-error",
        (
            "QuestionnaireItem",
            "type",
        ): "group display question boolean decimal integer date dateTime time string text url"
        " choice open-choice attachment reference quantity",
        ("AuditEvent", "action"): "C R U D E",
        ("AuditEvent", "outcome"): "0 4 8 12",
        ("AuditEventAgentNetwork", "type"): "1 2 3 4 5",
        ("Quantity", "comparator"): _COMPARATOR,
        ("Age", "comparator"): _COMPARATOR,
        ("Count", "comparator"): _COMPARATOR,
        ("Distance", "comparator"): _COMPARATOR,
        ("Duration", "comparator"): _COMPARATOR,
        (
            "TimingRepeat",
            "when",
        ): "MORN MORN.early MORN.late NOON AFT AFT.early AFT.late EVE EVE.early EVE.late NIGHT PHS HS"
        " WAKE C CM CD CV AC ACM ACD ACV PC PCM PCD PCV",
        ("OperationOutcomeIssue", "code"): "invalid structure required value invariant security login unknown expired"
        " forbidden suppressed processing not-supported duplicate multiple-matches not-found deleted too-long code-invalid"
        " extension too-costly business-rule conflict transient lock-error no-store exception timeout incomplete throttled"
        " informational",
    }.items()
}
