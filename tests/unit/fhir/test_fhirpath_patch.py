"""FHIRPath Patch, operation by operation: https://hl7.org/fhir/R4/fhirpatch.html"""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest

from app.fhir.fhirpath_patch import fhirpath_patch
from app.fhir.outcome import Fault
from app.fhir.xml import from_xml, to_xml

FOUR = [{"value": number} for number in ("1", "2", "3", "4")]


def patient(**elements: Any) -> dict[str, Any]:
    return {"resourceType": "Patient"} | elements


def operation(kind: str, path: str, **parts: Any) -> dict[str, Any]:
    """An operation; a dictionary is a part as it stands, text and numbers are given their kind."""
    made = [{"name": "type", "valueCode": kind}, {"name": "path", "valueString": path}]
    for name, value in parts.items():
        if isinstance(value, dict):
            made.append({"name": name} | value)
        else:
            made.append({"name": name, "valueString" if isinstance(value, str) else "valueInteger": value})
    return {"name": "operation", "part": made}


def patched(resource: dict[str, Any], *operations: dict[str, Any]) -> dict[str, Any]:
    return fhirpath_patch(resource, {"resourceType": "Parameters", "parameter": list(operations)})


def numbers(*order: str) -> dict[str, Any]:
    return patient(identifier=[{"value": number} for number in order])


CONTACT = patient(contact=[{"name": {"text": "a name"}, "gender": "male"}])
BORN = patient(birthDate="1920-01-01", _birthDate={"extension": [{"url": "urn:x", "valueInteger": 1}]})
GIVEN = patient(name=[{"given": ["a", "b"], "_given": [None, {"id": "x"}]}])

CASES: list[tuple[str, dict[str, Any], dict[str, Any], dict[str, Any]]] = [
    (
        "replace a primitive",
        patient(birthDate="1920-01-01"),
        operation("replace", "Patient.birthDate", value={"valueDate": "1930-01-01"}),
        patient(birthDate="1930-01-01"),
    ),
    ("delete a primitive", patient(birthDate="1920-01-01"), operation("delete", "Patient.birthDate"), patient()),
    ("delete what is not there", patient(), operation("delete", "Patient.birthDate"), patient()),
    ("delete takes what stands beside a primitive along", BORN, operation("delete", "Patient.birthDate"), patient()),
    (
        "add a primitive",
        patient(),
        operation("add", "Patient", name="birthDate", value={"valueDate": "1930-01-01"}),
        patient(birthDate="1930-01-01"),
    ),
    (
        "replace inside a list",
        CONTACT,
        operation("replace", "Patient.contact[0].name.text", value="the name"),
        patient(contact=[{"name": {"text": "the name"}, "gender": "male"}]),
    ),
    (
        "what a deletion leaves empty goes too",
        CONTACT,
        operation("delete", "Patient.contact[0].name.text"),
        patient(contact=[{"gender": "male"}]),
    ),
    (
        "replace an object whole",
        patient(maritalStatus={"id": "1", "text": "married"}, gender="male"),
        operation("replace", "Patient.maritalStatus", value={"valueCodeableConcept": {"id": "2", "text": "single"}}),
        patient(maritalStatus={"id": "2", "text": "single"}, gender="male"),
    ),
    (
        "add an object whose type has no name",
        patient(),
        operation(
            "add",
            "Patient",
            name="contact",
            value={
                "part": [
                    {"name": "name", "valueHumanName": {"text": "a name"}},
                    {"name": "telecom", "valueContactPoint": {"value": "1"}},
                    {"name": "telecom", "part": [{"name": "value", "valueString": "2"}]},
                ]
            },
        ),
        patient(contact=[{"name": {"text": "a name"}, "telecom": [{"value": "1"}, {"value": "2"}]}]),
    ),
    ("delete the only item of a list", CONTACT, operation("delete", "Patient.contact[0]"), patient()),
    (
        "add to a list appends",
        numbers("1", "2"),
        operation("add", "Patient", name="identifier", value={"valueIdentifier": {"value": "3"}}),
        numbers("1", "2", "3"),
    ),
    (
        "insert at the front",
        numbers("1", "2"),
        operation("insert", "Patient.identifier", index=0, value={"valueIdentifier": {"value": "3"}}),
        numbers("3", "1", "2"),
    ),
    (
        "insert at the end",
        numbers("1", "2"),
        operation("insert", "Patient.identifier", index=2, value={"valueIdentifier": {"value": "3"}}),
        numbers("1", "2", "3"),
    ),
    (
        "insert into a list that is not there yet",
        patient(),
        operation("insert", "Patient.identifier", index=0, value={"valueIdentifier": {"value": "3"}}),
        numbers("3"),
    ),
    (
        "move backwards",
        numbers("1", "2", "3", "4"),
        operation("move", "Patient.identifier", source=3, destination=1),
        numbers("1", "4", "2", "3"),
    ),
    (
        "move forwards: the destination is counted without the source",
        numbers("1", "2", "3", "4"),
        operation("move", "Patient.identifier", source=0, destination=3),
        numbers("2", "3", "4", "1"),
    ),
    (
        "where() picks an item",
        patient(identifier=[{"use": "usual", "value": "1"}, {"use": "official", "value": "2"}]),
        operation("replace", "Patient.identifier.where(use = 'official' and value.exists()).value", value="9"),
        patient(identifier=[{"use": "usual", "value": "1"}, {"use": "official", "value": "9"}]),
    ),
    (
        "first() and last()",
        numbers("1", "2", "3"),
        operation("delete", "identifier.last()"),
        numbers("1", "2"),
    ),
    (
        "a choice is added under the name of its type",
        patient(),
        operation("add", "Patient", name="deceased", value={"valueBoolean": True}),
        patient(deceasedBoolean=True),
    ),
    (
        "a choice may change its type and keeps its place",
        patient(deceasedBoolean=True, gender="male"),
        operation("replace", "Patient.deceased", value={"valueDateTime": "2020"}),
        patient(deceasedDateTime="2020", gender="male"),
    ),
    (
        "ofType() picks by type",
        patient(deceasedBoolean=True),
        operation("delete", "Patient.deceased.ofType(boolean)"),
        patient(),
    ),
    (
        "an extension is found by its url",
        patient(extension=[{"url": "urn:a", "valueString": "1"}, {"url": "urn:b", "valueString": "2"}]),
        operation("replace", "Patient.extension('urn:b').value", value="3"),
        patient(extension=[{"url": "urn:a", "valueString": "1"}, {"url": "urn:b", "valueString": "3"}]),
    ),
    (
        "an extension is added to a primitive",
        patient(birthDate="1920"),
        operation(
            "add",
            "Patient.birthDate",
            name="extension",
            value={"part": [{"name": "url", "valueUri": "urn:x"}, {"name": "value", "valueInteger": 1}]},
        ),
        patient(birthDate="1920", _birthDate={"extension": [{"url": "urn:x", "valueInteger": 1}]}),
    ),
    (
        "the extension of a primitive is reached through it",
        BORN,
        operation("delete", "Patient.birthDate.extension[0]"),
        patient(birthDate="1920-01-01"),
    ),
    (
        "the two halves of a list of primitives stay together when one is inserted",
        GIVEN,
        operation("insert", "Patient.name[0].given", index=0, value="c"),
        patient(name=[{"given": ["c", "a", "b"], "_given": [None, None, {"id": "x"}]}]),
    ),
    (
        "and when one is moved",
        GIVEN,
        operation("move", "Patient.name[0].given", source=1, destination=0),
        patient(name=[{"given": ["b", "a"], "_given": [{"id": "x"}, None]}]),
    ),
    (
        "and when one is deleted",
        GIVEN,
        operation("delete", "Patient.name[0].given[1]"),
        patient(name=[{"given": ["a"]}]),
    ),
    (
        "a contained resource is reached by its own type",
        patient(contained=[{"resourceType": "Organization", "id": "o", "name": "x"}]),
        operation("replace", "Patient.contained.where(id = 'o').name", value="y"),
        patient(contained=[{"resourceType": "Organization", "id": "o", "name": "y"}]),
    ),
]


@pytest.mark.parametrize(("said", "before", "change", "after"), CASES, ids=[case[0] for case in CASES])
def test_an_operation_does_what_the_standard_says(
    said: str, before: dict[str, Any], change: dict[str, Any], after: dict[str, Any]
) -> None:
    kept = deepcopy(before)
    assert patched(before, change) == after
    assert list(patched(before, change)) == list(after), "elements keep their order"
    assert before == kept, "the given resource stays as it is"


@pytest.mark.parametrize(("said", "before", "change", "after"), CASES, ids=[case[0] for case in CASES])
def test_an_operation_sent_as_xml_does_the_same(
    said: str, before: dict[str, Any], change: dict[str, Any], after: dict[str, Any]
) -> None:
    sent = from_xml(to_xml({"resourceType": "Parameters", "parameter": [change]}))
    assert fhirpath_patch(before, sent) == after


def test_operations_follow_one_another() -> None:
    changed = patched(
        numbers("1", "2", "3", "4"),
        *(operation("move", "Patient.identifier", source=3, destination=place) for place in range(3)),
    )
    assert changed == numbers("4", "3", "2", "1")


def test_no_operation_changes_nothing() -> None:
    assert patched(numbers("1")) == numbers("1")


WRONG: list[tuple[str, dict[str, Any], str, str]] = [
    ("a path to nothing", operation("replace", "Patient.birthDate", value="x"), "unprocessable", "leads nowhere"),
    ("a path to several", operation("delete", "Patient.identifier"), "unprocessable", "leads to 4 elements"),
    ("the resource itself", operation("delete", "Patient"), "unprocessable", "the resource itself"),
    ("an index beyond", operation("insert", "Patient.identifier", index=5, value={"valueIdentifier": {"value": "x"}}), "unprocessable", "beyond the end"),
    ("a move beyond", operation("move", "Patient.identifier", source=4, destination=0), "unprocessable", "beyond the list"),
    ("no list", operation("move", "Patient.gender", source=0, destination=0), "unprocessable", "names no list"),
    ("an unknown element", operation("add", "Patient", name="nonsense", value="x"), "unprocessable", "not known in Patient"),
    ("already there", operation("add", "Patient", name="gender", value={"valueCode": "male"}), "unprocessable", "there already"),
    ("no such operation", operation("sort", "Patient.identifier"), "invalid", "type of operation is not known"),
    ("no value", operation("replace", "Patient.gender"), "invalid", "value is missing"),
    ("an empty value", operation("replace", "Patient.gender", value={}), "invalid", "missing or empty"),
    ("no index", operation("insert", "Patient.identifier", value="x"), "invalid", "index is missing"),
    ("a negative index", operation("insert", "Patient.identifier", index=-1, value="x"), "invalid", "index is missing or no index"),
    ("no path", {"name": "operation", "part": [{"name": "type", "valueCode": "delete"}]}, "invalid", "path is missing"),
    ("no operation", {"name": "else"}, "invalid", "not an operation"),
    ("a part twice", {"name": "operation", "part": [{"name": "type", "valueCode": "add"}] * 2}, "invalid", "given twice"),
    ("no FHIRPath", operation("delete", "Patient..name"), "invalid", "not understood"),
    ("an open bracket", operation("delete", "Patient.name.where(use = 'x'"), "invalid", "not understood"),
    ("a criterion that cannot be read", operation("delete", "Patient.name.where(use = = 1)"), "invalid", "not understood"),
    ("a function that takes long", operation("delete", "Patient.name.where(text.matches('(a+)+$'))"), "invalid", "no where() may have"),
    ("a walk through everything", operation("delete", "Patient.descendants()"), "invalid", "no patch path may have"),
    ("an endless path", operation("delete", "Patient" + ".name" * 400), "too-costly", "too long"),
]  # fmt: skip


@pytest.mark.parametrize(("said", "change", "kind", "text"), WRONG, ids=[case[0] for case in WRONG])
def test_what_cannot_be_done_names_the_operation(said: str, change: dict[str, Any], kind: str, text: str) -> None:
    with pytest.raises(Fault) as refused:
        patched(patient(gender="male", identifier=FOUR), operation("delete", "Patient.birthDate"), change)
    assert (refused.value.kind, refused.value.issues[0].expression) == (kind, "Parameters.parameter[1]")
    assert text in refused.value.text


@pytest.mark.parametrize("content", [[], {"resourceType": "Patient"}, {"resourceType": "Parameters", "parameter": {}}])
def test_what_is_no_parameters_resource_is_refused(content: Any) -> None:
    with pytest.raises(Fault) as refused:
        fhirpath_patch(patient(), content)
    assert refused.value.kind == "invalid"
