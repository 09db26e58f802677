"""The table of types and search parameters, held against the element trees of FHIR and against HL7's own list.

https://hl7.org/fhir/R4/searchparameter-registry.html
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from typing import Any, get_args

import pytest

from app.fhir.query import Param
from app.fhir.registry import ALL, BY_CODE, MODIFIERS, TYPES, followed, is_ours, modifiers

ROWS = [param for row in TYPES.values() for param in row.params.values()]

# What the models of fhir.resources make of each shape: primitives are Python's own types there.
SHAPES = {
    "concept": {"CodeableConcept", "Coding"},
    "code": {"str"},
    "boolean": {"bool"},
    "exists": {"bool", "datetime"},
    "contact": {"ContactPoint"},
    "identifier": {"Identifier"},
    "uid": {"str"},
    "id": {"str"},
    "reference": {"Reference"},
    "canonical": {"str"},
    "text": {"str"},
    "name": {"HumanName"},
    "address": {"Address"},
    "date": {"date", "datetime", "Period", "Timing"},
    "number": {"int"},
    "uri": {"str"},
}


def _names(annotation: Any) -> Iterator[str]:
    """The names of the types within an annotation, through Optional, List and Annotated."""
    inner = get_args(annotation)
    if isinstance(annotation, type) and not inner:
        yield annotation.__name__
    for one in inner:
        if isinstance(one, str):
            yield one
        elif one is not type(None):
            yield from _names(one)
    if hasattr(annotation, "__forward_arg__"):
        yield annotation.__forward_arg__


def _model(name: str) -> Any:
    return importlib.import_module(f"fhir.resources.R4B.{name.lower()}")


def _field_at(kind: str, path: str) -> Any:
    """The field of the element at a path, from the models of fhir.resources."""
    module = _model(kind)
    cls = getattr(module, kind)
    steps = path.partition("[")[0].split(".")
    for position, step in enumerate(steps):
        field = next((f for f in cls.model_fields.values() if f.alias == step), None)
        assert field is not None, f"{kind} has no {path}"
        if position == len(steps) - 1:
            return field
        candidates = [name for name in _types_of(field) if name[:1].isupper()]
        cls = next(c for c in (_class(module, name) for name in candidates) if c is not None)
        module = importlib.import_module(cls.__module__)
    raise AssertionError("a path without steps")


def _types_of(field: Any) -> set[str]:
    return {name.removesuffix("Type") for name in _names(field.annotation)}


def _class(module: Any, name: str) -> Any:
    own = getattr(module, name, None)
    if own is not None and hasattr(own, "model_fields"):
        return own
    try:
        return getattr(_model(name), name, None)
    except ModuleNotFoundError:
        return None


@pytest.mark.parametrize("param", ROWS, ids=lambda param: param.key)
def test_every_path_leads_to_an_element_of_the_stated_shape(param: Param) -> None:
    for path in param.paths:
        found = _types_of(_field_at(param.type, path))
        assert found & SHAPES[param.shape or param.kind], (path, found)


# A narrower parameter on an element that more types may stand in: HL7 writes `where(resolve() is Patient)`.
# Or one where R4B, which the models are of, allows more types than R4 does.
NARROWED = {"patient", "practitioner", "location", "care-manager", "care-manager-role"}
WIDER_IN_R4B = {"Group.member", "DiagnosticReport.subject"}


@pytest.mark.parametrize("param", [p for p in ROWS if p.shape == "reference"], ids=lambda param: param.key)
def test_a_reference_may_name_what_the_elements_allow(param: Param) -> None:
    allowed = {
        name for path in param.paths for name in _field_at(param.type, path).json_schema_extra["enum_reference_types"]
    }
    if param.name in NARROWED or param.key in WIDER_IN_R4B:
        assert set(param.targets) <= allowed or "Resource" in allowed
    else:
        assert (set(param.targets) or {"Resource"}) == allowed


def test_numbers_of_types_never_change() -> None:
    assert {name: row.code for name, row in TYPES.items()} == {
        "Patient": 1,
        "Organization": 2,
        "Location": 3,
        "Practitioner": 4,
        "PractitionerRole": 5,
        "CareTeam": 6,
        "Group": 7,
        "Endpoint": 8,
        "ImagingStudy": 9,
        "DiagnosticReport": 10,
        "EpisodeOfCare": 11,
        "Appointment": 12,
        "ServiceRequest": 13,
        "Consent": 14,
        "QuestionnaireResponse": 15,
        "Questionnaire": 16,
        "Task": 17,
        "Communication": 18,
        "Subscription": 19,
        "AuditEvent": 20,
        "Provenance": 21,
        "CapabilityStatement": 22,
        "StructureDefinition": 23,
        "SearchParameter": 24,
        "OperationDefinition": 25,
        "CodeSystem": 26,
        "ValueSet": 27,
    }
    assert all(BY_CODE[row.code] is row for row in TYPES.values())


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        (
            "ImagingStudy",
            """basedon bodysite dicom-class encounter endpoint identifier instance interpreter modality patient
            performer reason referrer series started status subject""",
        ),
        ("EpisodeOfCare", "care-manager condition date identifier incoming-referral organization patient status type"),
        (
            "Consent",
            """action actor category consentor data date identifier organization patient period purpose scope
            security-label source-reference status""",
        ),
    ],
)
def test_the_three_types_of_this_registry_have_all_base_parameters_and_know_which_are_added(
    kind: str, names: str
) -> None:
    base = {name for name, param in TYPES[kind].params.items() if not is_ours(param) and not name.startswith("_")}
    assert base == set(names.split())


def test_every_type_has_the_parameters_that_all_resources_share() -> None:
    for row in TYPES.values():
        meta = set() if row.name == "AuditEvent" else {"_tag", "_security", "_profile", "_source"}
        assert {"_id", "_lastUpdated"} | meta <= set(row.params)


def test_definitions_are_those_of_hl7_where_it_has_one() -> None:
    params = TYPES["ImagingStudy"].params
    assert params["patient"].definition == "http://hl7.org/fhir/SearchParameter/clinical-patient"
    assert params["status"].definition == "http://hl7.org/fhir/SearchParameter/ImagingStudy-status"
    assert params["_id"].definition == "http://hl7.org/fhir/SearchParameter/Resource-id"
    assert TYPES["Patient"].params["family"].definition == "http://hl7.org/fhir/SearchParameter/individual-family"
    assert TYPES["CareTeam"].params["encounter"].definition.endswith("/CareTeam-encounter")
    assert is_ours(TYPES["DiagnosticReport"].params["study"])


def test_no_two_parameters_share_a_key() -> None:
    assert len({param.key for param in ROWS}) == len(ROWS)


def test_targets_are_types_of_fhir() -> None:
    for param in ROWS:
        for target in param.targets:
            importlib.import_module(f"fhir.resources.R4B.{target.lower()}")


def test_what_is_audited_and_what_is_published_cannot_be_written() -> None:
    assert TYPES["AuditEvent"].interactions == {"read", "vread", "search-type"}
    for row in TYPES.values():
        if row.visibility == "conformance":
            assert row.interactions == {"read", "search-type"}
        elif row.name != "AuditEvent":
            assert row.interactions == ALL


def test_a_compartment_is_entered_through_references_that_may_name_a_patient() -> None:
    for row in TYPES.values():
        for name in row.compartment:
            param = row.params[name]
            assert (param.shape == "id" and row.name == "Patient") or "Patient" in (followed(param) or param.targets)


def test_a_canonical_is_not_followed_and_a_reference_only_to_types_held() -> None:
    assert followed(TYPES["QuestionnaireResponse"].params["questionnaire"]) == ()
    assert followed(TYPES["ImagingStudy"].params["encounter"]) == ()
    assert followed(TYPES["ImagingStudy"].params["subject"]) == ("Patient", "Group")
    assert followed(TYPES["ImagingStudy"].params["status"]) == ()


def test_includes_follow_from_the_references() -> None:
    assert "ImagingStudy:endpoint" in TYPES["ImagingStudy"].includes
    assert "ImagingStudy:encounter" not in TYPES["ImagingStudy"].includes
    assert "ImagingStudy:patient" in TYPES["Patient"].rev_includes
    assert "Provenance:target" in TYPES["ImagingStudy"].rev_includes


def test_each_kind_and_shape_says_which_modifiers_it_takes() -> None:
    for param in ROWS:
        assert set(modifiers(param)) <= {name for names in MODIFIERS.values() for name in names}
    assert modifiers(TYPES["Patient"].params["_id"]) == ()
    assert modifiers(TYPES["Patient"].params["_lastUpdated"]) == ()
    assert modifiers(TYPES["Patient"].params["identifier"]) == ("not", "of-type", "text", "missing")
