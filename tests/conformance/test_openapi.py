"""/openapi.json has every address of the application, and everything in it answers. https://spec.openapis.org/oas/v3.1.0"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from flask import Flask

from tests.support.minimal import MINIMAL
from tests.support.region import Caller

VALUES = {
    "endpoint": "archive-rxa",
    "below": "studies",
    "id": "p1",
    "version": "1",
    "filename": "none.css",
    "name": "nobody",
    "slug": "name",
    "kind": "acknowledgement",
}


@pytest.fixture
def document(steward: Caller) -> dict[str, Any]:
    answer = steward.http.get("/openapi.json")
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "application/json")
    return answer.json  # type: ignore[no-any-return]


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, item in document["paths"].items():
        for method, operation in item.items():
            yield path, method, operation


def test_every_address_of_the_application_is_in_it(app: Flask, document: dict[str, Any]) -> None:
    told = {(path, method) for path, method, _ in operations(document)}
    for rule in app.url_map.iter_rules():
        pattern = re.escape(re.sub(r"<[^<>]*>", "{}", rule.rule)).replace(re.escape("{}"), r"(\{\w+\}|\w+)")
        for method in (rule.methods or set()) - {"OPTIONS", "HEAD"}:
            assert any(re.fullmatch(pattern, path) and method.lower() == one for path, one in told), (rule.rule, method)


def test_every_operation_has_its_own_name_and_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    names = [operation["operationId"] for _, _, operation in operations(document)]
    assert len(names) == len(set(names))
    for reference in set(re.findall(r'"\$ref": ?"#/([^"]+)"', repr(document).replace("'", '"'))):
        node = document
        for step in reference.split("/"):
            node = node[step]


def test_every_address_in_it_answers(app: Flask, steward: Caller, document: dict[str, Any]) -> None:
    """With what its own statement says it takes; the answer is one of those that it states."""
    wrong = []
    for path, method, operation in operations(document):
        address = re.sub(r"\{(\w+)\}", lambda found: VALUES.get(found[1], "1"), path)
        kind = operation["tags"][0]
        body, headers = None, {"Authorization": f"Bearer {steward.token}"}
        content = operation.get("requestBody", {}).get("content", {})
        if "application/fhir+json" in content and "application/json-patch+json" not in content:
            headers["Content-Type"] = "application/fhir+json"
            body = MINIMAL.get(kind, {"resourceType": "Bundle", "type": "batch"})
        elif content:
            headers["Content-Type"] = next(iter(content))
            body = None if "form" in next(iter(content)) else []
        sent = {"json": body} if body is not None else {}
        answer = app.test_client().open(address, method=method.upper(), headers=headers, **sent)
        text = answer.text
        stated = {int(one) for one in operation["responses"] if one != "default"}
        named = answer.status_code in stated or (answer.status_code >= 400 and "default" in operation["responses"])
        answer.close()  # what is served from a file
        plain = path.startswith(("/fhir", "/openapi")) or answer.status_code < 500
        missing = "no such address" in text or answer.status_code in (405, 500, 501)
        if missing or (not named and path.startswith("/fhir")) or not plain:
            wrong.append((method, path, answer.status_code, text[:200]))
    assert wrong == []


def test_what_needs_no_token_is_said_to_need_none(app: Flask, document: dict[str, Any]) -> None:
    for path, method, operation in operations(document):
        if not path.startswith("/fhir"):
            continue
        address = re.sub(r"\{(\w+)\}", lambda found: VALUES.get(found[1], "1"), path)
        answer = app.test_client().open(address, method=method.upper())
        assert (answer.status_code == 401) == ("security" not in operation), (method, path, answer.status_code)
