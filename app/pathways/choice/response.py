"""The form as a QuestionnaireResponse of the published Questionnaire, and back: each field is the item of its name.
https://hl7.org/fhir/R4/questionnaireresponse.html
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, fields
from hashlib import blake2b
from typing import Any

import orjson

from app.fhir.outcome import Fault
from app.fhir.temporal import format_instant
from app.pathways.choice.form import AUTHORITIES, CHOICES, CONTACTS, EXTENTS, RELATIONSHIPS, Form
from app.pathways.making import BASE

Json = dict[str, Any]

QUESTIONNAIRE = f"{BASE}/Questionnaire/registry-choice"
CODES = f"{BASE}/CodeSystem/registry-choice"
CODED: Mapping[str, tuple[str, ...]] = {
    "choice": CHOICES,
    "contact": CONTACTS,
    "extent": EXTENTS,
    "relationship": RELATIONSHIPS,
    "authority": AUTHORITIES,
}
KINDS = {"birth_date": "valueDate", "on_behalf": "valueBoolean", "understood": "valueBoolean"}
NAMES = tuple(one.name for one in fields(Form))


def response(form: Form, at: int) -> Json:
    """The answers that were given; what was left empty has no item."""
    items = []
    for name, value in asdict(form).items():
        values = list(value) if isinstance(value, (tuple, list)) else [value]
        if answers := [_answer(name, one) for one in values if one != ""]:
            items.append({"linkId": name, "answer": answers})
    return {
        "resourceType": "QuestionnaireResponse",
        "questionnaire": QUESTIONNAIRE,
        "status": "completed",
        "authored": format_instant(at),
        "item": items,
    }


def _answer(name: str, value: Any) -> Json:
    if name in CODED:
        return {"valueCoding": {"system": CODES, "code": value}}
    return {KINDS.get(name, "valueString"): value}


def form_of(resource: Mapping[str, Any]) -> Form:
    """The form that a QuestionnaireResponse holds. Raises Fault for items that the questionnaire does not have, and for
    answers of another kind; whether the answers are right is for `Form.issues`."""
    if resource.get("resourceType") != "QuestionnaireResponse":
        raise Fault("invalid", "not a QuestionnaireResponse; expected one", "resourceType")
    if str(resource.get("questionnaire", "")).split("|")[0] != QUESTIONNAIRE:
        raise Fault(
            "value", f"answers another questionnaire; expected {QUESTIONNAIRE}", "QuestionnaireResponse.questionnaire"
        )
    given: dict[str, Any] = {}
    for number, item in enumerate(_flat(resource)):
        place = f"QuestionnaireResponse.item[{number}]"
        name = str(item.get("linkId", ""))
        if name not in NAMES or name in given:
            raise Fault("value", f"not a question, or answered twice; expected one each of {', '.join(NAMES)}", place)
        values = [_value(name, one, place) for one in item.get("answer", ())]
        if name == "trusts":
            given[name] = tuple(values)
        elif len(values) == 1:
            given[name] = values[0]
        elif values:
            raise Fault("value", f"several answers to {name}; expected one", place)
    for name in ("choice", "given", "family", "birth_date"):
        if name not in given:
            raise Fault("required", f"{name} is not answered; expected an answer", "QuestionnaireResponse.item")
    return Form(**given)


def _flat(holder: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The items with answers, those inside groups too."""
    found: list[Mapping[str, Any]] = []
    for item in holder.get("item", ()):
        found += _flat(item) if "item" in item else [item]
    return found


def _value(name: str, answer: Mapping[str, Any], place: str) -> Any:
    if name in CODED:
        coding = answer.get("valueCoding")
        value = coding.get("code") if isinstance(coding, dict) else answer.get("valueString")
    else:
        value = answer.get(KINDS.get(name, "valueString"))
    if value is None:
        kind = "valueCoding" if name in CODED else KINDS.get(name, "valueString")
        raise Fault("value", f"the answer to {name} is of another kind; expected {kind}", place)
    return value


def fingerprint(form: Form) -> str:
    """The same for the same answers, however they are spaced."""
    said = {
        name: " ".join(value.split()).casefold() if isinstance(value, str) else value
        for name, value in asdict(form).items()
    }
    return blake2b(orjson.dumps(said, option=orjson.OPT_SORT_KEYS), digest_size=16).hexdigest()
