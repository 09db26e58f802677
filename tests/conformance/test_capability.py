"""Anything stated is implemented, anything implemented is stated: each statement of `/fhir/metadata` is asked for.

https://hl7.org/fhir/R4/capabilitystatement.html
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from flask import Flask

from app.config import Settings
from app.fhir.capability import FIGURES, documentation
from app.fhir.operations import OPERATIONS
from app.fhir.query import Param
from app.fhir.registry import ALL, TYPES, followed, modifiers
from app.published import validator
from tests.support.minimal import MINIMAL
from tests.support.region import Caller

JSON_PATCH = "application/json-patch+json"
NOTHING = [{"op": "test", "path": "/resourceType", "value": "x"}]  # a patch that is understood and not met
WRITTEN = {"create", "update", "patch", "delete"}


@pytest.fixture
def stated(steward: Caller) -> dict[str, Any]:
    answer = steward.http.get("/fhir/metadata")
    assert answer.status_code == 200
    return answer.json  # type: ignore[no-any-return]


def rows(stated: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for row in stated["rest"][0]["resource"]:
        if (
            row["type"] != "DocumentReference"
        ):  # which is no type of the table: test_pointers.py asks for what it states
            yield row["type"], row


def interactions(row: dict[str, Any]) -> set[str]:
    """Those of the statement, in the words of the table."""
    found = {one["code"] for one in row["interaction"]}
    flags = {
        "conditional-create": row["conditionalCreate"],
        "conditional-update": row["conditionalUpdate"],
        "conditional-delete": row["conditionalDelete"] == "single",
        "conditional-patch": row["conditionalUpdate"],  # R4 has no place for it but the documentation
    }
    return found | {name for name, there in flags.items() if there}


def sample(param: Param) -> str:
    if param.kind == "reference":
        return "urn:x" if param.shape == "canonical" else f"{next(iter(param.targets), 'Patient')}/x"
    by_shape = {"boolean": "true", "exists": "true", "uid": "1.2.3", "identifier": "urn:x|1"}
    by_kind = {"date": "ge2026-01-01", "number": "1", "uri": "urn:x", "token": "x", "string": "x"}
    return by_shape.get(param.shape) or by_kind.get(param.kind, "x")


def test_the_statement_is_itself_valid(stated: dict[str, Any]) -> None:
    assert [issue for issue in validator().validate(stated) if issue.severity in ("error", "fatal")] == []


def test_the_statement_holds_the_whole_table(stated: dict[str, Any]) -> None:
    assert [name for name, _ in rows(stated)] == list(TYPES)
    for name, row in rows(stated):
        kind = TYPES[name]
        assert interactions(row) == kind.interactions, name
        assert {one["name"] for one in row["searchParam"]} == set(kind.params), name
        assert tuple(row.get("searchInclude", ())) == kind.includes, name
        assert tuple(row.get("searchRevInclude", ())) == kind.rev_includes, name
        assert {one["name"] for one in row.get("operation", ())} == {
            one.name for one in OPERATIONS.values() if one.on(name) and set(one.levels) & {"type", "instance"}
        }, name


def attempts(steward: Caller, name: str) -> dict[str, Callable[[], Any]]:
    """Each interaction of a type, in an order that leaves something for the next."""
    body = MINIMAL.get(name, {"resourceType": name, "id": "least"})
    new = json.loads(json.dumps(body).replace("8.498.77", "8.498.78"))  # a study with the same UID is the same study
    new.pop("id")
    at = f"/{name}/{body['id']}"
    condition = f"/{name}?_id={body['id']}"
    return {
        "update": lambda: steward.put(at, body),
        "read": lambda: steward.get(at),
        "vread": lambda: steward.get(f"{at}/_history/1"),
        "patch": lambda: steward.send("PATCH", at, NOTHING, Content_Type=JSON_PATCH),
        "search-type": lambda: steward.get(condition),
        "history-instance": lambda: steward.get(f"{at}/_history"),
        "history-type": lambda: steward.get(f"/{name}/_history"),
        "create": lambda: steward.post(f"/{name}", new),
        "conditional-create": lambda: steward.post(f"/{name}", new, If_None_Exist=f"_id={body['id']}"),
        "conditional-update": lambda: steward.put(condition, body),
        "conditional-patch": lambda: steward.send("PATCH", condition, NOTHING, Content_Type=JSON_PATCH),
        "conditional-delete": lambda: steward.delete(condition),
        "delete": lambda: steward.delete(at),
    }


DONE = {"update": 201, "create": 201, "patch": 422, "conditional-patch": 422, "conditional-delete": 204, "delete": 204}


def test_each_interaction_stated_is_there_and_no_other(steward: Caller, stated: dict[str, Any]) -> None:
    wrong = []
    for name, row in rows(stated):
        can = interactions(row)
        for interaction, attempt in attempts(steward, name).items():
            status = attempt().status_code
            expected = {DONE.get(interaction, 200)} if interaction in can else {405}
            if interaction in can and name not in MINIMAL:
                expected = {200, 404}  # nothing is there to be read, and the interaction is
            if interaction not in can and interaction == "conditional-create":
                expected = {405, 404}
            if status not in expected:
                wrong.append((name, interaction, status, expected))
    assert wrong == []


def test_every_interaction_is_tried() -> None:
    names = set(attempts(None, "Patient"))  # type: ignore[arg-type]
    assert names == ALL


def test_each_search_parameter_stated_is_taken_and_no_other(steward: Caller, stated: dict[str, Any]) -> None:
    refused = []
    for name, row in rows(stated):
        for one in row["searchParam"]:
            param = TYPES[name].params[one["name"]]
            answer = steward.get(f"/{name}?{param.name}={sample(param)}&_count=1")
            if answer.status_code != 200:
                refused.append((name, param.name, answer.text))
        unknown = steward.get(f"/{name}?unheard-of=1")
        assert unknown.status_code == 400 and "unheard-of" in unknown.text, name
    assert refused == []


def test_each_modifier_stated_is_taken(steward: Caller, stated: dict[str, Any]) -> None:
    values = {"missing": "true", "identifier": "urn:x|1", "of-type": "urn:x|MR|1", "in": "urn:none"}
    refused = []
    for name, row in rows(stated):
        for one in row["searchParam"]:
            param = TYPES[name].params[one["name"]]
            told = one["documentation"].removeprefix("modifiers: ").split(", ")
            assert tuple(told) == (modifiers(param) or ("no modifiers",)), param.key
            for modifier in modifiers(param):
                spelt = next(iter(followed(param) or param.targets), "Patient") if modifier == "[type]" else modifier
                value = "x" if modifier == "[type]" else values.get(modifier, sample(param))
                answer = steward.get(f"/{name}?{param.name}:{spelt}={value}&_count=1")
                known = modifier == "in" and answer.status_code == 400 and "value set" in answer.text
                if answer.status_code != 200 and not known:
                    refused.append((name, param.name, modifier, answer.text))
    assert refused == []


def test_each_include_stated_is_taken_and_no_other(steward: Caller, stated: dict[str, Any]) -> None:
    refused = []
    for name, row in rows(stated):
        for parameter, field in (("_include", "searchInclude"), ("_revinclude", "searchRevInclude")):
            for include in row.get(field, ()):
                answer = steward.get(f"/{name}?_count=1&{parameter}={include}")
                if answer.status_code != 200:
                    refused.append((name, parameter, include, answer.text))
        assert steward.get(f"/{name}?_include={name}:unheard-of").status_code == 400, name
        assert steward.get(f"/{name}?_include=*").status_code == 400, name
    assert refused == []


def test_each_operation_stated_is_there(steward: Caller, stated: dict[str, Any]) -> None:
    """That it does what it says is for its own tests; here, that the address is one and the rest are none."""
    for name, row in rows(stated):
        for one in row.get("operation", ()):
            known = OPERATIONS[one["name"]]
            for level, address in (("type", f"/{name}"), ("instance", f"/{name}/p1")):
                for method in ("GET", "POST"):
                    body = {"resourceType": "Parameters"} if method == "POST" else None
                    answer = steward.send(method, f"{address}/${known.name}", body)
                    there = level in known.levels and method in known.methods
                    routed = answer.status_code != 405 and "no such address" not in answer.text
                    assert routed == there, (method, address, known.name, answer.status_code, answer.text)


def test_the_system_interactions_stated_are_there(steward: Caller, stated: dict[str, Any]) -> None:
    rest = stated["rest"][0]
    assert {one["code"] for one in rest["interaction"]} == {"transaction", "batch", "history-system"}
    for kind in ("transaction", "batch"):
        answer = steward.post("", {"resourceType": "Bundle", "type": kind})
        assert (answer.status_code, answer.json["type"]) == (200, f"{kind}-response")
    assert steward.get("/_history").status_code == 200
    assert rest["compartment"] == ["http://hl7.org/fhir/CompartmentDefinition/patient"]
    for name, kind in TYPES.items():
        assert steward.get(f"/Patient/p1/{name}").status_code == (200 if kind.compartment else 404), name


def test_each_format_stated_is_given(steward: Caller, stated: dict[str, Any]) -> None:
    for format in stated["format"]:
        answer = steward.get("/Patient/p1", Accept=format) if "/" in format else None
        for one in filter(None, (answer, steward.get(f"/Patient/p1?_format={format.replace('+', '%2B')}"))):
            assert one.status_code == 200
            assert format.rsplit("/", 1)[-1].removeprefix("fhir+") in one.headers["Content-Type"]
    for format in stated["patchFormat"]:
        answer = steward.send("PATCH", "/Patient/p1", b"nonsense", Content_Type=format)
        assert answer.status_code == 400, format


def test_the_limits_stated_are_the_limits(app: Flask, steward: Caller, stated: dict[str, Any]) -> None:
    settings: Settings = app.extensions["services"].settings
    told = stated["rest"][0]["documentation"]
    included = int(told.split("pages have at most ")[2].split(" ")[0])
    limits = {"max_bytes": settings.max_bytes, "max_entries": settings.max_entries, "included": included}
    assert told == documentation(limits)
    entries = [{"request": {"method": "GET", "url": "Patient/p1"}}] * (settings.max_entries + 1)
    large = b'{"resourceType":"Patient","id":"' + b"x" * settings.max_bytes
    deep = b'{"resourceType":"Patient","x":' * (FIGURES["depth"] + 1)
    operations = [{"op": "test", "path": "", "value": 1}] * (FIGURES["operations"] + 1)
    chain = ".".join(["link:Patient"] * (FIGURES["chain"] + 1)) + ".active=true"
    many = ",".join("x" for _ in range(FIGURES["values"] + 1))
    wanted = {
        "bytes": (steward.post("/Patient", large), 413),
        "depth": (steward.post("/Patient", deep), 413),
        "entries": (steward.post("", {"resourceType": "Bundle", "type": "batch", "entry": entries}), 413),
        "operations": (steward.send("PATCH", "/Patient/p1", operations, Content_Type=JSON_PATCH), 413),
        "chain": (steward.get(f"/Patient?{chain}"), 400),
        "values": (steward.get(f"/Patient?gender={many}"), 400),
        "parameters": (steward.get("/Patient?" + "&".join(["gender=x"] * (FIGURES["parameters"] + 1))), 400),
        "sorts": (steward.get("/Patient?_sort=" + ",".join(["_id"] * (FIGURES["sorts"] + 1))), 400),
    }
    assert {name: one.status_code for name, (one, _) in wanted.items()} == {
        name: status for name, (_, status) in wanted.items()
    }
    capped = steward.get(f"/Patient?_count={FIGURES['count'] + 1}")
    assert f"_count={FIGURES['count']}" in capped.json["link"][0]["url"]
