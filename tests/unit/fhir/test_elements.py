"""The table of elements against HL7's own StructureDefinitions, https://hl7.org/fhir/R4/elementdefinition.html"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest

from app.fhir.elements import lookup, resource_type
from app.fhir.registry import TYPES

DATA_TYPES = (
    *("Address", "Age", "Annotation", "Attachment", "CodeableConcept", "Coding", "ContactDetail", "ContactPoint"),
    *("Duration", "ElementDefinition", "Expression", "Extension", "HumanName", "Identifier", "Meta", "Money"),
    *("Narrative", "Period", "Quantity", "Range", "Ratio", "Reference", "RelatedArtifact", "SampledData"),
    *("Signature", "Timing", "UsageContext"),
)


def defined(path: Path) -> dict[str, list[tuple[str, dict[str, Any]]]]:
    """Type name to (element name as in JSON, definition), from a StructureDefinition."""
    groups: dict[str, list[tuple[str, dict[str, Any]]]] = {}
    for element in orjson.loads(path.read_bytes())["snapshot"]["element"]:
        parent, _, leaf = element["path"].rpartition(".")
        if not parent:
            continue
        names = [leaf]
        if leaf.endswith("[x]"):
            codes = [kind["code"] for kind in element["type"]]
            names = [leaf.removesuffix("[x]") + code[0].upper() + code[1:] for code in codes]
        kind = "".join(step[0].upper() + step[1:] for step in parent.split("."))
        groups.setdefault(kind, []).extend((name, element) for name in names)
    return groups


@pytest.mark.parametrize("name", [*TYPES, "Bundle", "Parameters", "OperationOutcome", "Binary", *DATA_TYPES])
def test_elements_are_those_of_the_standard_in_order_cardinality_and_summary(hl7: Path, name: str) -> None:
    for kind_name, rows in defined(hl7 / f"StructureDefinition-{name}.json").items():
        kind = lookup(kind_name)
        assert kind is not None
        have = kind.elements
        wanted = dict(rows)
        assert set(have) == set(wanted)
        order = dict.fromkeys(wanted[one]["path"] for one in have)
        assert list(order) == list(dict.fromkeys(row["path"] for _, row in rows))
        for one, row in wanted.items():
            element = have[one]
            many = row["max"] != "1" or row["base"]["max"] == "*"
            assert (element.many, element.required) == (many, row["min"] > 0), (kind_name, one)
            assert element.summary == bool(row.get("isSummary")), (kind_name, one)


def test_kinds_are_told_apart() -> None:
    patient, series, bundle = lookup("Patient"), lookup("ImagingStudySeries"), lookup("BundleEntry")
    assert patient is not None and series is not None and bundle is not None
    assert patient.resource and not patient.backbone
    assert series.backbone and not series.resource
    assert {name: patient.elements[name].kind for name in ("active", "birthDate", "name", "contained", "id")} == {
        "active": "boolean",
        "birthDate": "string",
        "name": "complex",
        "contained": "resource",
        "id": "string",
    }
    assert (series.elements["number"].kind, series.elements["number"].type) == ("number", "unsignedInt")
    assert patient.elements["deceasedBoolean"].choice == "deceased"
    assert bundle.elements["resource"].kind == "resource"


@pytest.mark.parametrize(
    "name", ["", "Resource", "DomainResource", "Element", "patient", "Unicorn", "os.path", "Pätient"]
)
def test_what_is_no_type_is_none(name: str) -> None:
    assert lookup(name) is None
    assert resource_type(name) is None


def test_a_data_type_is_no_resource() -> None:
    assert resource_type("Reference") is None
    assert resource_type("Patient") is lookup("Patient")
