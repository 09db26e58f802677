"""Bad input is refused at its place: never a 5xx, never a hang, nothing stored. The requests are data in tests/malformed."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from flask import Flask

from app import create_app
from app.config import Settings
from app.fhir.outcome import KINDS
from tests.support.malformed import FOLDER, Request, requests
from tests.support.region import Caller, settle

CODES = {(status, code) for status, code in KINDS.values()}


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def app(
    request: pytest.FixtureRequest, module_database: Callable[[str], str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Flask]:
    """One application for all of them: whatever one leaves behind, the last test finds."""
    keys = str(tmp_path_factory.mktemp("keys"))
    made = create_app(Settings(database_url=module_database(request.param), keys_dir=keys, log_level="error"))
    yield made
    made.extensions["services"].store.close()


@pytest.fixture(scope="module")
def steward(app: Flask) -> Caller:
    return settle(app)


@pytest.fixture(scope="module", autouse=True)
def stored(steward: Caller) -> Iterator[None]:
    """Nothing is stored, changed or deleted by any of them."""
    before = feed(steward)
    yield
    assert feed(steward) == before


def feed(steward: Caller) -> list[str]:
    answer = steward.get("/_history?_count=500")
    return [entry["fullUrl"] + entry["response"]["etag"] for entry in answer.json["entry"]]


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*-*.json")), ids=lambda path: path.name)
def test_the_requests_are_of_the_form_that_the_schema_states(path: Path) -> None:
    schema = json.loads((FOLDER / "request.schema.json").read_text())
    jsonschema.validate(json.loads(path.read_text()), schema, cls=jsonschema.Draft202012Validator)


def test_there_are_enough_of_them() -> None:
    names = [str(one) for one in requests()]
    assert len(names) == len(set(names)) >= 300


@pytest.mark.parametrize("sent", requests(), ids=str)
def test_it_is_refused_at_its_place(steward: Caller, sent: Request) -> None:
    headers = {"Authorization": f"Bearer {steward.token}"} | sent.headers
    answer = steward.http.open(f"/fhir{sent.path}", method=sent.method, data=sent.body, headers=headers)
    assert answer.status_code == sent.status, answer.text
    assert answer.headers["Content-Type"] == "application/fhir+json; charset=utf-8"
    assert answer.headers["X-Request-Id"] and answer.headers["Cache-Control"] == "no-store"
    outcome: dict[str, Any] = answer.json
    assert outcome["resourceType"] == "OperationOutcome"
    issues = outcome["issue"]
    assert all(issue["severity"] in ("error", "fatal", "warning", "information") for issue in issues)
    assert issues[0]["code"] in {code for _, code in CODES}
    texts = [issue["details"]["text"] for issue in issues]
    assert all(texts)
    assert "Traceback" not in answer.text and "sqlalchemy" not in answer.text.lower()
    places = [place for issue in issues for place in issue.get("expression", ())]
    assert sent.at in places or any(sent.at in text for text in texts), outcome
