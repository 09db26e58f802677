"""Right and wrong resources, each with everything that is said of it: https://hl7.org/fhir/R4/validation.html"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice
from typing import Any

import jsonschema
import orjson
import pytest

from app.fhir import schemas
from app.fhir.constraints import Options, holds
from app.fhir.elements import resource_type
from app.fhir.glance import Glance
from app.fhir.named import FUNCTIONS
from app.fhir.operations import OPERATIONS, OURS
from app.fhir.outcome import Fault
from app.fhir.profiles import NotEnforceable, load, nodes, rules
from app.fhir.registry import TYPES, is_ours
from app.fhir.resource import parse
from app.published import profiles, published, validator
from tests.support.profiled import CASES, Case, bad, cases, good, told


def _pattern(validator: Any, pattern: str, instance: Any, schema: Any) -> Any:
    """As in ECMA 262, where $ is the end and not also before a last line break."""
    if isinstance(instance, str) and not re.search(pattern.replace("$", r"\Z"), instance):
        yield jsonschema.ValidationError("another form")


SecondOpinion = jsonschema.validators.extend(jsonschema.Draft202012Validator, {"pattern": _pattern})
TABLE = cases()
BAD = list(bad())
GOOD = list(good())
V = validator()


def test_the_table_is_well_formed_and_large() -> None:
    jsonschema.validate(orjson.loads(CASES.read_bytes()), orjson.loads((CASES.parent / "schema.json").read_bytes()))
    assert len(TABLE) >= 150
    assert len({case.about for case in TABLE}) == len(TABLE)


@pytest.mark.parametrize("case", TABLE, ids=lambda case: case.about)
def test_a_resource_has_the_issues_of_the_table_and_no_other(case: Case) -> None:
    assert told(V.validate(case.resource)) == case.issues


@pytest.mark.parametrize(("name", "resource"), GOOD, ids=[name for name, _ in GOOD])
def test_a_good_example_has_no_issue(name: str, resource: dict[str, Any]) -> None:
    assert V.validate(resource) == []


@pytest.mark.parametrize(("folder", "case"), BAD, ids=[f"{folder} {case.breaks}" for folder, case in BAD])
def test_a_bad_example_has_the_issue_expected(folder: str, case: Case) -> None:
    assert told(V.validate(case.resource)) == case.issues
    assert case.issues


def _changed(value: Any) -> Iterator[Any]:
    """Copies in which one part, at any depth, is left out, is another or stands twice."""
    parts: list[tuple[Any, Any]] = list(value.items() if isinstance(value, dict) else enumerate(value))
    for key, inner in parts:
        others: list[Any] = list(_changed(inner)) if isinstance(inner, (dict, list)) else ["1.2.3", 7]
        for other in others:
            copy = value.copy()
            copy[key] = other
            yield copy
        if isinstance(value, dict):
            yield {name: one for name, one in value.items() if name != key}
        else:
            yield [*value, inner]


@pytest.mark.parametrize(("name", "resource"), GOOD, ids=[name for name, _ in GOOD])
def test_what_is_seen_at_a_glance_is_what_is_found_by_looking(
    name: str, resource: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    changed = list(islice(_changed(resource), 400))
    seen = [V.validate(one) for one in changed]
    monkeypatch.setattr(Glance, "sees_nothing", lambda *_: False)
    assert seen == [V.validate(one) for one in changed]


def test_every_profile_has_two_good_examples_and_a_bad_one_for_every_rule() -> None:
    broken = {(folder, case.breaks) for folder, case in BAD}
    for profile in profiles().by_url.values():
        folder = profile.url.rpartition("/registry-")[2]
        assert sum(name.startswith(f"{folder}/") for name, _ in GOOD) >= 2, folder
        assert {(folder, rule) for rule in rules(profile)} <= broken, folder
    assert len(BAD) == sum(len(list(rules(profile))) for profile in profiles().by_url.values())


@pytest.mark.parametrize("name", sorted({str(case.resource["resourceType"]) for case in TABLE}))
def test_a_second_library_finds_the_same_resources_right_and_wrong_by_the_schemas(name: str) -> None:
    kind = resource_type(name)
    if kind is None:
        return
    everywhere = profiles().everywhere.get(name, ())[-1:]
    second = SecondOpinion(schemas.schema(kind, everywhere))
    first = V.schema(name)
    for case in TABLE:
        if case.resource["resourceType"] == name:
            assert first.is_valid(case.resource) == second.is_valid(case.resource), case.about


@pytest.mark.parametrize("case", TABLE, ids=lambda case: case.about)
def test_no_schema_refuses_what_is_right(case: Case) -> None:
    if case.right:
        assert V.schema(str(case.resource["resourceType"])).is_valid(case.resource)


def test_a_function_and_the_fhirpath_published_beside_it_agree() -> None:
    """Wherever a constraint's element stands in an example or a case, both say the same."""
    compared = 0
    for _, resource in [*GOOD, *((c.about, c.resource) for _, c in BAD), *((c.about, c.resource) for c in TABLE)]:
        if any(issue.code == "structure" for issue in V.validate(resource)):
            continue
        for profile in profiles().everywhere.get(str(resource["resourceType"]), ()):
            for place, node in nodes(profile.root):
                for one in node.constraints:
                    if one.key not in FUNCTIONS or not one.expression or "memberOf" in one.expression or ":" in place:
                        continue
                    for value in _at(resource, place.split(".")[1:]):
                        said = not list(FUNCTIONS[one.key].broken(value, Options()))
                        if one.key == "reg-end-1" and not said:
                            continue  # the function knows more addresses that are not safe than the expression says
                        assert holds(one.expression, value, resource) == said, (one.key, value)
                        compared += 1
    assert compared > 500


def _at(value: Any, steps: list[str]) -> list[Any]:
    if isinstance(value, list):
        return [one for inner in value for one in _at(inner, steps)]
    if not steps:
        return [] if value is None else [value]
    return _at(value.get(steps[0]), steps[1:]) if isinstance(value, dict) else []


def test_numbers_with_an_exponent_are_right_where_a_number_is() -> None:
    body = b'{"resourceType":"Patient","extension":[{"url":"https://example.org/x","valueDecimal":1.50e2}]}'
    assert V.validate(parse(body)) == []


def test_check_digits_of_nhs_numbers_are_a_choice_of_the_region() -> None:
    patient = {"resourceType": "Patient", "identifier": [{"system": "https://fhir.nhs.uk/Id/nhs-number", "value": "9990001007"}]}  # fmt: skip
    lenient = validator(Options(check_digits=False))
    assert lenient.validate(patient) == []
    assert [issue.detail for issue in V.validate(patient)] == ["INVALID_NHS_NUMBER"]
    patient["identifier"][0]["value"] = "1111111111"
    assert [issue.detail for issue in lenient.validate(patient)] == ["INVALID_NHS_NUMBER"]


def test_a_definition_that_cannot_be_enforced_stops_the_start() -> None:
    documents = list(profiles().documents)
    said = orjson.loads(orjson.dumps(next(one for one in documents if one["id"] == "registry-patient")))
    for element in (
        {"id": "Patient.nickname", "path": "Patient.nickname", "min": 1},
        {"id": "Patient.gender", "path": "Patient.gender", "maxLength": 3},
        {"id": "Patient.gender", "path": "Patient.gender", "binding": {"strength": "required", "valueSet": "x"}},
        {"id": "Patient.name:usual", "path": "Patient.name", "sliceName": "usual", "min": 1},
    ):
        broken = said | {"differential": {"element": [element]}}
        with pytest.raises(NotEnforceable, match=r"registry-patient Patient\."):
            load([one for one in documents if one["id"] != "registry-patient"] + [broken])


def test_what_is_published_is_what_is_enforced() -> None:
    shown = published()
    assert {one["url"] for one in shown["StructureDefinition"].values()} == set(profiles().by_url)
    assert set(shown["ValueSet"]) and set(shown["SearchParameter"]) and set(shown["OperationDefinition"])


def test_all_issues_come_in_one_outcome() -> None:
    with pytest.raises(Fault) as caught:
        V.check(TABLE[-1].resource)
    assert caught.value.status == 422
    assert len(caught.value.issues) == len(TABLE[-1].issues) > 4


def test_our_search_parameters_are_published_as_the_table_has_them() -> None:
    told = {
        one["url"]: (one["base"], one["code"], one["type"], one["expression"], one.get("target", []))
        for one in published()["SearchParameter"].values()
    }
    assert told == {
        param.definition: (
            [row.name],
            param.name,
            param.kind,
            " | ".join(f"{row.name}.{path}" for path in param.paths),
            list(param.targets),
        )
        for row in TYPES.values()
        for param in row.params.values()
        if is_ours(param)
    }


def test_our_operations_are_published_as_the_table_has_them() -> None:
    told = {one["url"]: one for one in published()["OperationDefinition"].values()}
    for one in OPERATIONS.values():
        if one.definition.startswith(OURS):
            said = told[one.definition]
            assert (said["code"], tuple(said["resource"])) == (one.name, one.types)
            assert {level for level in ("system", "type", "instance") if said[level]} == set(one.levels)


def test_every_definition_is_itself_valid() -> None:
    for one in profiles().documents:
        found = V.validate(dict(one))
        assert [issue for issue in found if issue.severity == "error"] == [], one["id"]
