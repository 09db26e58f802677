"""Whatever is sent, the answer is no 5xx and names what is wrong: generated addresses, headers and contents, and
schemathesis on /openapi.json. HYPOTHESIS_PROFILE=deep goes much further: `HYPOTHESIS_PROFILE=deep pytest tests/security`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import schemathesis
from flask import Flask
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app import create_app
from app.config import Settings
from app.fhir.registry import TYPES
from app.fhir.xml import to_xml
from tests.support.minimal import MINIMAL
from tests.support.region import Caller, settle

DEEP = os.environ.get("HYPOTHESIS_PROFILE") == "deep"
TRIES = 2000 if DEEP else 150


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def app(
    request: pytest.FixtureRequest, module_database: Callable[[str], str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Flask]:
    keys = str(tmp_path_factory.mktemp("keys"))
    made = create_app(Settings(database_url=module_database(request.param), keys_dir=keys, log_level="error"))
    yield made
    made.extensions["services"].store.close()


@pytest.fixture(scope="module")
def steward(app: Flask) -> Caller:
    return settle(app)


def fine(answer: Any) -> None:
    """Below 500, and a refusal says what is wrong."""
    assert answer.status_code < 500, answer.text
    if answer.status_code >= 400:
        said = json.loads(answer.data)
        assert said["resourceType"] == "OperationOutcome"
        assert all(issue["details"]["text"] for issue in said["issue"])


NAMES = st.sampled_from(sorted({*TYPES, *(name for kind in TYPES.values() for name in kind.params)}))
PIECES = st.one_of(
    NAMES,
    st.sampled_from(
        ["_history", "_search", "$validate", "metadata", "p1", "s1", "1", "..", "", "%00", "%ff", "*", "$x"]
    ),
    st.text(max_size=12),
)
VALUES = st.one_of(
    st.text(max_size=20),
    st.sampled_from(["ge2026", "a|b", "|", "Patient/p1", "true", "1.2.3", "1e9", ",", "\\", "$", "2026-02-30", "%"]),
)
QUERIES = st.lists(
    st.tuples(
        st.builds(
            lambda head, mark, rest: f"{head}{mark}{rest}",
            st.one_of(
                NAMES, st.sampled_from(["_count", "_sort", "_include", "_revinclude", "_has", "_cursor", "_since"])
            ),
            st.sampled_from(["", ":", ".", ":missing", ":not", ":exact", ":iterate", ":Patient:name"]),
            st.one_of(st.just(""), PIECES),
        ),
        VALUES,
    ),
    max_size=4,
)
HEADERS = st.dictionaries(
    st.sampled_from(
        [
            "Accept",
            "Content-Type",
            "If-Match",
            "If-None-Match",
            "If-Modified-Since",
            "If-None-Exist",
            "Prefer",
            "Idempotency-Key",
            "X-Request-Id",
            "X-Correlation-ID",
        ]
    ),
    st.text(st.characters(min_codepoint=32, max_codepoint=255, exclude_characters="\x7f"), max_size=30),
    max_size=3,
)
SCALARS = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(max_size=10))
JSON = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.one_of(NAMES, st.text(max_size=8)), inner, max_size=4)
    ),
    max_leaves=12,
)


@st.composite
def mutated(draw: st.DrawFn) -> tuple[str, Any]:
    """A resource that was right before something in it was replaced, removed or put beside it."""
    name = draw(st.sampled_from(sorted(MINIMAL)))
    resource = json.loads(json.dumps(MINIMAL[name]))
    for _ in range(draw(st.integers(1, 3))):
        node = resource
        while isinstance(node, (dict, list)) and node:
            key = draw(st.sampled_from(sorted(node) if isinstance(node, dict) else range(len(node))))
            inner = node[key]
            if isinstance(inner, (dict, list)) and inner and draw(st.booleans()):
                node = inner
                continue
            action = draw(st.sampled_from(["replace", "remove", "beside"]))
            if action == "remove":
                del node[key]
            elif action == "beside" and isinstance(node, dict):
                node[draw(st.one_of(NAMES, st.just(f"_{key}")))] = draw(JSON)
            else:
                node[key] = draw(JSON)
            break
    return name, resource


@pytest.mark.attack(77)
@settings(max_examples=TRIES, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    method=st.sampled_from(["GET", "POST", "PUT", "PATCH", "DELETE"]),
    path=st.lists(PIECES, max_size=4),
    query=QUERIES,
    headers=HEADERS,
    body=st.one_of(st.none(), st.binary(max_size=60), JSON),
)
def test_any_request_is_answered_below_500(
    steward: Caller, method: str, path: list[str], query: Any, headers: Any, body: Any
) -> None:
    data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
    given_headers = {"Authorization": f"Bearer {steward.token}", "Content-Type": "application/fhir+json"} | headers
    address = "/fhir/" + "/".join(piece.replace("?", "%3F").replace("#", "%23") for piece in path)
    answer = steward.http.open(
        address, method=method, query_string=query, data=data, headers=given_headers, follow_redirects=False
    )
    if not address.startswith("/fhir//") and answer.status_code != 308:
        fine(answer)
    assert answer.status_code < 500


@settings(max_examples=TRIES, deadline=None, suppress_health_check=list(HealthCheck))
@given(case=mutated(), as_xml=st.booleans())
def test_any_resource_is_refused_or_stored(steward: Caller, case: tuple[str, Any], as_xml: bool) -> None:
    name, resource = case
    body: Any = json.dumps(resource).encode()
    content_type = "application/fhir+json"
    if as_xml:
        try:
            body, content_type = to_xml(resource), "application/fhir+xml"
        except Exception:  # what has no XML form is sent as it is
            as_xml = False
    fine(steward.send("POST", f"/{name}/$validate", body, Content_Type=content_type))
    fine(steward.send("POST", f"/{name}", body, Content_Type=content_type))
    entry = {"request": {"method": "POST", "url": name}, "resource": resource}
    fine(steward.post("", json.dumps({"resourceType": "Bundle", "type": "transaction", "entry": [entry]}).encode()))


@settings(max_examples=TRIES, deadline=None, suppress_health_check=list(HealthCheck))
@given(bundle=st.one_of(JSON, st.fixed_dictionaries({"resourceType": st.just("Bundle"), "type": st.sampled_from(["batch", "transaction"]), "entry": st.lists(st.one_of(JSON, st.fixed_dictionaries({"request": st.fixed_dictionaries({"method": st.sampled_from(["GET", "POST", "PUT", "DELETE", "PATCH"]), "url": st.one_of(st.text(max_size=20), st.builds("{}/{}?{}".format, NAMES, PIECES, PIECES))}), "resource": JSON})), max_size=3)})))  # fmt: skip
def test_any_bundle_is_refused_or_carried_out(steward: Caller, bundle: Any) -> None:
    fine(steward.post("", json.dumps(bundle).encode()))


@settings(max_examples=TRIES, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    change=JSON,
    kind=st.sampled_from(["application/json-patch+json", "application/merge-patch+json", "application/fhir+json"]),
    path=st.text(max_size=30),
)
def test_any_patch_is_refused_or_applied(steward: Caller, change: Any, kind: str, path: str) -> None:
    fine(steward.send("PATCH", "/Patient/p1", json.dumps(change).encode(), Content_Type=kind))
    part = [{"name": "type", "valueCode": "delete"}, {"name": "path", "valueString": path or "x"}]
    parameters = {"resourceType": "Parameters", "parameter": [{"name": "operation", "part": part}]}
    fine(steward.send("PATCH", "/Patient/p1", json.dumps(parameters).encode()))
    steward.put("/Patient/p1", MINIMAL["Patient"] | {"id": "p1"})


@pytest.fixture(scope="module")
def schema(app: Flask) -> Any:
    return schemathesis.openapi.from_wsgi("/openapi.json", app)


def sender(operation: Any, token: str, found: list[Any]) -> Callable[[], None]:
    """Sends generated requests to one operation, and notes what is answered with a 5xx."""

    @settings(max_examples=50 if DEEP else 1, deadline=None, suppress_health_check=list(HealthCheck), database=None)
    @given(case=operation.as_strategy())
    def send(case: Any) -> None:
        answer = case.call(headers={"Authorization": f"Bearer {token}"})
        if answer.status_code >= 500:
            found.append((operation.method, operation.path, answer.status_code, answer.text[:300]))

    return send


def test_everything_that_openapi_states(steward: Caller, schema: Any) -> None:
    """A generated request to each operation; in `deep`, many."""
    found: list[Any] = []
    sent = 0
    for result in schema.get_all_operations():
        operation = result.ok()
        if operation.path.startswith("/fhir"):
            sender(operation, steward.token, found)()
            sent += 1
    assert found == []
    assert sent > 300
