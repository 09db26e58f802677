"""Keys of clients by URL, and browser apps of other origins. SMART App Launch 2.2.

https://hl7.org/fhir/smart-app-launch/client-confidential-asymmetric.html, app-launch.html (CORS)
"""

from __future__ import annotations

import time
import uuid

import pytest
from flask import Flask
from joserfc import jwt
from werkzeug.test import TestResponse

from app.smart.assertions import TYPE
from app.storage.oauth import Client
from tests.support.issuer import Issuer, running
from tests.support.launching import APP, register
from tests.support.region import settle

TOKEN_URL = "http://127.0.0.1:8080/auth/token"


def ask(app: Flask, site: Issuer, client: str, **header: str) -> TestResponse:
    key = site.keys[-1]
    now = int(time.time())
    claims = {"iss": client, "sub": client, "aud": TOKEN_URL, "exp": now + 200, "jti": str(uuid.uuid4())}
    signed = jwt.encode({"alg": "RS384", "kid": key.kid} | header, claims, key, algorithms=["RS384"])
    form = {"grant_type": "client_credentials", "scope": "system/ImagingStudy.rs"}
    form |= {"client_assertion_type": TYPE, "client_assertion": signed}
    return app.test_client().post("/auth/token", data=form)


@pytest.mark.requirement("SMART 296", "SMART 338", "SMART 339", "SMART 342", "SMART 248")
def test_keys_are_fetched_from_where_they_are_registered_and_from_nowhere_else(app: Flask) -> None:
    settle(app)
    with running(algorithm="RS384") as site, running(algorithm="RS384") as elsewhere:
        address = f"{site.address}/jwks"
        register(app, Client("by-url", "x", "backend", "ods:RXB", "system/*.rs", "system", "TREAT", jwks_url=address))
        answer = ask(app, site, "by-url")
        assert answer.status_code == 200 and "refresh_token" not in answer.json
        assert ask(app, site, "by-url", jku=address).status_code == 200
        assert site.asked["/jwks"] == 1  # kept
        foreign = ask(app, site, "by-url", jku=f"{elsewhere.address}/jwks")
        assert (foreign.status_code, foreign.json["error"]) == (401, "invalid_client")
        assert ask(app, elsewhere, "by-url", jku=f"{elsewhere.address}/jwks").status_code == 401
        assert not elsewhere.asked


@pytest.mark.requirement("SMART 16", "SMART 374", "SMART 376", "SMART 377", "SMART 380")
@pytest.mark.parametrize("path", ["/fhir/metadata", "/fhir/.well-known/smart-configuration"])
def test_discovery_is_json_and_may_be_read_from_every_origin(app: Flask, path: str) -> None:
    answer = app.test_client().get(path, headers={"Origin": "https://any.example", "Accept": "text/html, */*;q=0.1"})
    assert answer.status_code == 200 and "json" in answer.mimetype
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert "Access-Control-Allow-Credentials" not in answer.headers


@pytest.mark.attack(79)
@pytest.mark.requirement("SMART 17")
def test_tokens_and_fhir_may_be_read_from_the_origins_of_registered_apps_alone_and_never_with_cookies(
    app: Flask,
) -> None:
    settle(app)
    register(app, APP)
    http = app.test_client()
    for path, method in (("/auth/token", "POST"), ("/fhir/ImagingStudy", "GET"), ("/fhir/Patient/p1", "GET")):
        sent = {"Access-Control-Request-Method": method, "Access-Control-Request-Headers": "authorization"}
        own = http.options(path, headers=sent | {"Origin": "https://app.example"})
        assert own.status_code == 200 and own.headers["Access-Control-Allow-Origin"] == "https://app.example"
        assert "Authorization" in own.headers["Access-Control-Allow-Headers"]
        for origin in ("https://evil.example", "https://app.example.evil.example", "http://app.example", "null"):
            answer = http.open(path, method=method, headers={"Origin": origin})
            assert "Access-Control-Allow-Origin" not in answer.headers, origin
        assert "Access-Control-Allow-Credentials" not in own.headers
    assert (
        "Access-Control-Allow-Origin"
        not in http.get("/auth/sign-in", headers={"Origin": "https://app.example"}).headers
    )
