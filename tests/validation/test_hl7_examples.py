"""HL7's own examples of the types held here pass base validation; the code lists are HL7's.

https://hl7.org/fhir/R4/downloads.html (npm `hl7.fhir.r4.examples`, CC0).
"""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from app.fhir.profiles import BASE
from app.fhir.registry import TYPES
from app.fhir.resource import parse
from app.fhir.structure import bindings
from app.published import validator
from tests.support import hl7
from tests.support.parts import requires

pytestmark = requires("npm")
WRITTEN = [name for name, row in TYPES.items() if row.visibility != "conformance"]

# A questionnaire in the package whose items have no linkId, which the standard demands.
WRONG = {"Questionnaire-qs1.json"}
# Required bindings to lists that are kept by others and have no end: media types, types of resources.
OPEN = ("/mimetypes", "/resource-types", "/all-types", "/currencies")


@pytest.mark.parametrize("name", WRITTEN)
def test_every_example_of_the_standard_is_accepted(name: str) -> None:
    for path in hl7.examples(name):
        resource = parse(path.read_bytes())
        errors = [one for one in validator().validate(resource, [BASE + name]) if one.severity == "error"]
        assert bool(errors) == (path.name in WRONG), (path.name, errors)


@pytest.mark.parametrize("name", [*WRITTEN, "Quantity", "Identifier", "HumanName", "Address", "ContactPoint", "Timing"])
def test_the_codes_of_required_bindings_are_those_of_the_standard(name: str) -> None:
    definition = orjson.loads((hl7.folder() / f"StructureDefinition-{name}.json").read_bytes())
    for element in definition["snapshot"]["element"]:
        bound = element.get("binding", {})
        if bound.get("strength") != "required" or all(one["code"] != "code" for one in element.get("type", ())):
            continue
        url = bound["valueSet"].partition("|")[0]
        if url.endswith(OPEN):
            continue
        parent, _, leaf = element["path"].rpartition(".")
        kind = "".join(step[0].upper() + step[1:] for step in parent.split("."))
        assert bindings(kind)[leaf].codes == codes(url), element["path"]


def codes(url: str) -> set[str]:
    """The codes of one of HL7's value sets, whose systems are in the package."""
    found: set[str] = set()
    for include in by_url("ValueSet", url)["compose"]["include"]:
        if "concept" in include:
            found |= {one["code"] for one in include["concept"]}
        else:
            found |= set(below(by_url("CodeSystem", include["system"]).get("concept", ())))
    return found


def below(concepts: Any) -> Any:
    for one in concepts:
        yield one["code"]
        yield from below(one.get("concept", ()))


INDEX: dict[str, dict[str, Any]] = {}


def by_url(kind: str, url: str) -> dict[str, Any]:
    if not INDEX:
        for path in hl7.folder().iterdir():
            if path.name.startswith(("ValueSet-", "CodeSystem-")):
                one = orjson.loads(path.read_bytes())
                INDEX[one["resourceType"] + one["url"]] = one
    return INDEX[kind + url]
