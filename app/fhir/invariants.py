"""The invariants that base R4 states for the types held here and for the data types in them.

https://hl7.org/fhir/R4/conformance-rules.html#constraints. What one element alone can break is in the schemas
(cardinality, `att-1`, `ext-1` and the like); here is what needs more than one element, or comparing values. The
published `ppc-2` to `ppc-5` name the system "something", so that they never hold or fail: here they have the intended one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from app.fhir.temporal import interval

CONSENT_SCOPE = "http://terminology.hl7.org/CodeSystem/consentscope"

Value = dict[str, Any]
Found = Iterator[str]  # places below the value, "" for itself


@dataclass(frozen=True, slots=True)
class Invariant:
    """A key of the standard, what is said where it is broken, and where that is."""

    key: str
    text: str
    broken: Callable[[Value], Found]


def _if(test: Callable[[Value], bool]) -> Callable[[Value], Found]:
    """The value itself, where `test` says that it is broken."""

    def broken(value: Value) -> Found:
        if test(value):
            yield ""

    return broken


def _needs(one: str, other: str) -> Callable[[Value], Found]:
    return _if(lambda value: one in value and other not in value)


def ends_before_it_starts(period: Value) -> bool:
    """Whether a Period's end lies wholly before its start; what cannot be read is no business of this."""
    start, end = period.get("start"), period.get("end")
    if not isinstance(start, str) or not isinstance(end, str):
        return False
    try:
        return interval(end)[1] <= interval(start)[0]
    except ValueError:
        return False


def _number(value: Any) -> bool:
    return isinstance(value, (int, float, Decimal)) and not isinstance(value, bool)


def _range(value: Value) -> bool:
    low, high = ((value.get(name) or {}) for name in ("low", "high"))
    same = all(low.get(name) == high.get(name) for name in ("system", "code", "unit"))
    return same and _number(low.get("value")) and _number(high.get("value")) and low["value"] > high["value"]


def _negative(name: str) -> Callable[[Value], Found]:
    return _if(lambda value: _number(value.get(name)) and value[name] < 0)


def _home(name: str) -> Callable[[Value], Found]:
    def broken(value: Value) -> Found:
        for number, one in enumerate(value.get(name) or ()):
            if one.get("use") == "home":
                yield f".{name}[{number}].use"

    return broken


def _later(value: Value) -> bool:
    authored, modified = value.get("authoredOn"), value.get("lastModified")
    return (
        isinstance(authored, str)
        and isinstance(modified, str)
        and ends_before_it_starts({"start": authored, "end": modified})
    )


def _without_patient(code: str) -> Callable[[Value], Found]:
    def broken(value: Value) -> bool:
        codings = (value.get("scope") or {}).get("coding") or ()
        return "patient" not in value and any(
            (c.get("system"), c.get("code")) == (CONSENT_SCOPE, code) for c in codings
        )

    return _if(broken)


def _link_ids(value: Value) -> Found:
    seen: set[Any] = set()

    def items(one: Value, place: str) -> Found:
        for number, item in enumerate(one.get("item") or ()):
            where = f"{place}.item[{number}]"
            if item.get("linkId") in seen:
                yield f"{where}.linkId"
            seen.add(item.get("linkId"))
            yield from items(item, where)

    return items(value, "")


def _appointment_times(value: Value) -> bool:
    timed = "start" in value and "end" in value
    return not timed and value.get("status") not in ("proposed", "cancelled", "waitlist")


def _answerable(value: Value) -> bool:
    kinds = ("choice", "open-choice", "decimal", "integer", "date", "dateTime", "time", "string", "quantity")
    return value.get("type") not in kinds and ("answerValueSet" in value or "answerOption" in value)


_TEXTUAL = ("boolean", "decimal", "integer", "string", "text", "url", "open-choice")
_MEALS = ("C", "CM", "CD", "CV")

PERIOD = Invariant(
    "per-1", "the period ends before it starts; expected the end not before the start", _if(ends_before_it_starts)
)

# By type, data type or backbone. `ref-1`, `dom-2` to `dom-5` look at the whole resource: see app/fhir/contained.py.
INVARIANTS: Mapping[str, tuple[Invariant, ...]] = {
    "Period": (PERIOD,),
    "Attachment": (
        Invariant(
            "att-1", "data without a contentType; expected one that says what it is", _needs("data", "contentType")
        ),
    ),
    "ContactPoint": (
        Invariant("cpt-2", "a value without a system; expected phone, email or another", _needs("value", "system")),
    ),
    "Range": (Invariant("rng-2", "low is above high; expected it not above", _if(_range)),),
    "Ratio": (
        Invariant(
            "rat-1",
            "a numerator without a denominator, or none of both; expected both, or an extension that says why not",
            _if(
                lambda value: (
                    ("numerator" in value) != ("denominator" in value)
                    or ("numerator" not in value and "extension" not in value)
                )
            ),
        ),
    ),
    "TimingRepeat": (
        Invariant("tim-1", "a duration without its unit; expected durationUnit", _needs("duration", "durationUnit")),
        Invariant("tim-2", "a period without its unit; expected periodUnit", _needs("period", "periodUnit")),
        Invariant("tim-4", "a negative duration; expected none below zero", _negative("duration")),
        Invariant("tim-5", "a negative period; expected none below zero", _negative("period")),
        Invariant("tim-6", "periodMax without a period; expected both", _needs("periodMax", "period")),
        Invariant("tim-7", "durationMax without a duration; expected both", _needs("durationMax", "duration")),
        Invariant("tim-8", "countMax without a count; expected both", _needs("countMax", "count")),
        Invariant(
            "tim-9",
            "an offset that follows no event, or a meal of no kind; expected when, and not C, CM, CD or CV",
            _if(
                lambda value: (
                    "offset" in value and (not value.get("when") or any(one in _MEALS for one in value["when"]))
                )
            ),
        ),
        Invariant(
            "tim-10",
            "both timeOfDay and when; expected one of them",
            _if(lambda value: "timeOfDay" in value and "when" in value),
        ),
    ),
    "PatientContact": (
        Invariant(
            "pat-1",
            "a contact without name, telecom, address and organization; expected at least one of them",
            _if(lambda value: not value.keys() & {"name", "telecom", "address", "organization"}),
        ),
    ),
    "Organization": (
        Invariant(
            "org-1",
            "neither an identifier nor a name; expected at least one of them",
            _if(lambda value: "identifier" not in value and "name" not in value and "_name" not in value),
        ),
        Invariant("org-2", "a home address of an organisation; expected another use", _home("address")),
        Invariant("org-3", "a home telecom of an organisation; expected another use", _home("telecom")),
    ),
    "Group": (
        Invariant(
            "grp-1",
            "members of a group that is not actual; expected none",
            _if(lambda value: "member" in value and value.get("actual") is not True),
        ),
    ),
    "Appointment": (
        Invariant(
            "app-2",
            "one of start and end; expected both or neither",
            _if(lambda value: ("start" in value) != ("end" in value)),
        ),
        Invariant(
            "app-3",
            "no start and end; expected both unless it is proposed, cancelled or on a waiting list",
            _if(_appointment_times),
        ),
        Invariant(
            "app-4",
            "a reason for cancelling what is not cancelled; expected status cancelled or noshow",
            _if(lambda value: "cancelationReason" in value and value.get("status") not in ("cancelled", "noshow")),
        ),
    ),
    "AppointmentParticipant": (
        Invariant(
            "app-1",
            "neither type nor actor; expected at least one of them",
            _if(lambda value: "type" not in value and "actor" not in value),
        ),
    ),
    "ServiceRequest": (
        Invariant("prr-1", "orderDetail without a code; expected what is ordered", _needs("orderDetail", "code")),
    ),
    "Consent": (
        Invariant(
            "ppc-1",
            "neither policy nor policyRule; expected at least one of them",
            _if(lambda value: "policy" not in value and "policyRule" not in value),
        ),
        *(
            Invariant(key, f"a consent of scope {code} without a patient; expected one", _without_patient(code))
            for key, code in (
                ("ppc-2", "patient-privacy"),
                ("ppc-3", "research"),
                ("ppc-4", "adr"),
                ("ppc-5", "treatment"),
            )
        ),
    ),
    "QuestionnaireResponseItem": (
        Invariant(
            "qrs-1",
            "both answers and items; expected the items below an answer",
            _if(lambda value: "answer" in value and "item" in value),
        ),
    ),
    "Questionnaire": (Invariant("que-2", "this linkId stands twice; expected each once", _link_ids),),
    "QuestionnaireItem": (
        Invariant(
            "que-1",
            "a group without items, or a display with some; expected items in groups alone",
            _if(
                lambda value: (
                    (value.get("type") == "group" and "item" not in value)
                    or (value.get("type") == "display" and "item" in value)
                )
            ),
        ),
        *(
            Invariant(
                key,
                f"a display with {' or '.join(names)}; expected none",
                _if(lambda value, names=names: value.get("type") == "display" and bool(value.keys() & set(names))),  # type: ignore[misc]
            )
            for key, names in (("que-3", ("code",)), ("que-6", ("required", "repeats")), ("que-9", ("readOnly",)))
        ),
        Invariant(
            "que-4",
            "both answerOption and answerValueSet; expected one of them",
            _if(lambda value: "answerOption" in value and "answerValueSet" in value),
        ),
        Invariant("que-5", "answers to choose from for a type that has none; expected none", _if(_answerable)),
        Invariant(
            "que-8",
            "an initial value of a group or display; expected none",
            _if(lambda value: value.get("type") in ("group", "display") and "initial" in value),
        ),
        Invariant(
            "que-10",
            "maxLength of a type that has no length; expected none",
            _if(lambda value: value.get("type") not in _TEXTUAL and "maxLength" in value),
        ),
        Invariant(
            "que-11",
            "both answerOption and initial; expected initialSelected on an option",
            _if(lambda value: "answerOption" in value and "initial" in value),
        ),
        Invariant(
            "que-12",
            "several conditions without enableBehavior; expected all or any",
            _if(lambda value: len(value.get("enableWhen") or ()) > 2 and "enableBehavior" not in value),
        ),
        Invariant(
            "que-13",
            "several initial values of what does not repeat; expected one at most",
            _if(lambda value: value.get("repeats") is not True and len(value.get("initial") or ()) > 1),
        ),
    ),
    "QuestionnaireItemEnableWhen": (
        Invariant(
            "que-7",
            "exists compared with what is not true or false; expected answerBoolean",
            _if(lambda value: value.get("operator") == "exists" and "answerBoolean" not in value),
        ),
    ),
    "Task": (
        Invariant("inv-1", "modified before it was authored; expected lastModified not before authoredOn", _if(_later)),
    ),
    "AuditEventEntity": (
        Invariant(
            "sev-1",
            "both a name and a query; expected one of them",
            _if(lambda value: "name" in value and "query" in value),
        ),
    ),
}

# `qty-3` holds for Quantity and for what is made of it.
QUANTITIES = ("Quantity", "Age", "Count", "Distance", "Duration", "SimpleQuantity", "MoneyQuantity")
_QTY = (Invariant("qty-3", "a code without a system; expected the system of the unit", _needs("code", "system")),)
INVARIANTS = {**INVARIANTS, **dict.fromkeys(QUANTITIES, _QTY)}
