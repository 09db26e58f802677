"""Tokens and clients under attack: what must fail, fails, and the honest way works."""

from __future__ import annotations

import base64
import time
from pathlib import Path
from typing import Any

import orjson
import pytest
from flask import Flask
from joserfc import jwt
from joserfc.jwk import ECKey, OctKey, RSAKey
from werkzeug.test import TestResponse

from app.smart.assertions import TYPE
from app.storage import oauth
from app.storage.oauth import Client
from tests.support.region import Caller, caller, settle

TOKEN_URL = "http://127.0.0.1:8080/auth/token"
SCOPE = "system/ImagingStudy.rs system/Endpoint.rs"


@pytest.fixture(params=["ES384", "RS384"])
def key(request: pytest.FixtureRequest) -> Any:
    parameters = {"kid": "one", "use": "sig", "alg": request.param}
    if request.param == "ES384":
        return ECKey.generate_key("P-384", parameters=parameters)
    return RSAKey.generate_key(2048, parameters=parameters)


@pytest.fixture
def backend(app: Flask, key: Any) -> Client:
    settle(app)
    keys = orjson.dumps({"keys": [key.as_dict(private=False)]}).decode()
    client = Client("epr-b", "EPR of B", "backend", "ods:RXB", SCOPE, "system", "TREAT", jwks=keys)
    app.extensions["services"].store.retry(lambda tx: oauth.add(tx, client))
    return client


def claims(**changed: Any) -> dict[str, Any]:
    now = int(time.time())
    fresh = {
        "iss": "epr-b",
        "sub": "epr-b",
        "aud": TOKEN_URL,
        "exp": now + 240,
        "iat": now,
        "jti": f"j{time.time_ns()}",
    }
    return {name: value for name, value in (fresh | changed).items() if value is not None}


def assertion(key: Any, alg: str | None = None, header: dict[str, Any] | None = None, **changed: Any) -> str:
    alg = alg or key.as_dict()["alg"]
    return jwt.encode({"alg": alg, "kid": "one"} | (header or {}), claims(**changed), key, algorithms=[alg])


def ask(app: Flask, signed: str, scope: str | None = SCOPE, **more: str) -> TestResponse:
    form = {"grant_type": "client_credentials", "client_assertion_type": TYPE, "client_assertion": signed} | more
    return app.test_client().post("/auth/token", data=form | ({"scope": scope} if scope else {}))


@pytest.mark.requirement(
    "SMART 142",
    "SMART 228",
    "SMART 240",
    "SMART 241",
    "SMART 253",
    "SMART 254",
    "SMART 255",
    "SMART 256",
    "SMART 257",
    "SMART 258",
    "SMART 259",
    "SMART 260",
    "SMART 261",
    "SMART 262",
    "SMART 310",
    "SMART 326",
    "SMART 357",
)
def test_a_signed_assertion_gives_a_token_that_opens_what_it_may(app: Flask, backend: Client, key: Any) -> None:
    answer = ask(app, assertion(key))
    assert answer.status_code == 200, answer.text
    assert answer.json["token_type"] == "Bearer"
    assert 0 < answer.json["expires_in"] <= 300
    assert answer.json["scope"] == SCOPE
    assert answer.headers["Cache-Control"] == "no-store"
    found = Caller(app.test_client(), answer.json["access_token"]).get("/ImagingStudy?patient=p1")
    assert found.status_code == 200
    assert len(found.json["entry"]) == 1


@pytest.mark.attack(9)
@pytest.mark.parametrize(
    ("what", "changed"),
    [
        ("of another client", {"iss": "somebody"}),
        ("sub that is not iss", {"sub": "somebody"}),
        ("for another server", {"aud": "https://elsewhere.example/token"}),
        ("expired", {"exp": int(time.time()) - 5}),
        ("valid for a year", {"exp": int(time.time()) + 31_536_000}),
        ("without an end", {"exp": None}),
        ("with a text for an end", {"exp": "soon"}),
        ("not valid yet", {"nbf": int(time.time()) + 86_400}),
        ("without a jti", {"jti": None}),
    ],
)
@pytest.mark.requirement("SMART 249", "SMART 335", "SMART 337", "SMART 340")
def test_attack_9_an_assertion_that_proves_nothing_is_refused(
    app: Flask, backend: Client, key: Any, what: str, changed: dict[str, Any]
) -> None:
    answer = ask(app, assertion(key, **changed))
    assert answer.status_code == 401, what
    assert answer.json["error"] == "invalid_client"


@pytest.mark.attack(9)
@pytest.mark.requirement("SMART 336")
def test_attack_9_an_assertion_serves_once(app: Flask, backend: Client, key: Any) -> None:
    signed = assertion(key)
    assert ask(app, signed).status_code == 200
    again = ask(app, signed)
    assert (again.status_code, again.json["error"]) == (401, "invalid_client")


@pytest.mark.attack(2, 3, 9)
def test_attacks_2_3_and_9_another_clients_key_a_weak_algorithm_and_no_signature_prove_nothing(
    app: Flask, backend: Client, key: Any
) -> None:
    stranger = ECKey.generate_key("P-384", parameters={"kid": "one", "alg": "ES384"})
    assert ask(app, assertion(stranger)).status_code == 401
    public = orjson.dumps(key.as_dict(private=False))
    confused = jwt.encode({"alg": "HS256", "kid": "one"}, claims(), OctKey.import_key(public), algorithms=["HS256"])
    assert ask(app, confused).status_code == 401
    head = base64.urlsafe_b64encode(orjson.dumps({"alg": "none"})).decode().rstrip("=")
    body = base64.urlsafe_b64encode(orjson.dumps(claims())).decode().rstrip("=")
    assert ask(app, f"{head}.{body}.").status_code == 401
    # A key that comes with the assertion itself is nobody's.
    brought = assertion(stranger, header={"jwk": stranger.as_dict(private=False), "kid": "two"})
    assert ask(app, brought).status_code == 401


@pytest.mark.attack(4)
@pytest.mark.parametrize("kid", ["../../etc/passwd", "' OR 1=1 --", "x" * 10_000, "unknown"])
def test_attack_4_a_kid_is_a_name_and_nothing_else(app: Flask, backend: Client, key: Any, kid: str) -> None:
    assert ask(app, assertion(key, header={"kid": kid})).status_code == 401


@pytest.mark.parametrize(
    ("scope", "error"),
    [
        (None, "invalid_scope"),
        ("system/*.cruds", "invalid_scope"),
        ("system/ImagingStudy.cruds", "invalid_scope"),
        ("user/ImagingStudy.rs", "invalid_scope"),
        ("system/ImagingStudy.sr", "invalid_scope"),
        ("system/ImagingStudy.", "invalid_scope"),
        ("system/Imaging%2fStudy.rs", "invalid_scope"),
        ("everything", "invalid_scope"),
    ],
)
@pytest.mark.requirement("SMART 250", "SMART 251", "SMART 252")
def test_no_token_goes_beyond_the_registration(
    app: Flask, backend: Client, key: Any, scope: str | None, error: str
) -> None:
    answer = ask(app, assertion(key), scope)
    assert (answer.status_code, answer.json["error"]) == (400, error)


def test_other_grants_and_unknown_clients_are_refused_as_the_standard_names_it(
    app: Flask, backend: Client, key: Any
) -> None:
    answer = app.test_client().post("/auth/token", data={"grant_type": "password"})
    assert (answer.status_code, answer.json["error"]) == (400, "unsupported_grant_type")
    answer = app.test_client().post("/auth/token", data={"grant_type": "client_credentials", "scope": SCOPE})
    assert (answer.status_code, answer.json["error"]) == (401, "invalid_client")
    answer = app.test_client().post("/auth/token", data={})
    assert answer.status_code == 400


def test_a_secret_is_a_proof_too_and_a_wrong_one_is_none(app: Flask) -> None:
    from werkzeug.security import generate_password_hash

    settle(app)
    client = Client(
        "sym", "sym", "backend", "ods:RXB", SCOPE, "system", "TREAT", secret_hash=generate_password_hash("correct")
    )
    app.extensions["services"].store.retry(lambda tx: oauth.add(tx, client))
    form = {"grant_type": "client_credentials", "scope": SCOPE, "client_id": "sym"}
    assert app.test_client().post("/auth/token", data=form | {"client_secret": "correct"}).status_code == 200
    assert app.test_client().post("/auth/token", data=form | {"client_secret": "wrong"}).status_code == 401
    assert app.test_client().post("/auth/token", data=form, auth=("sym", "correct")).status_code == 200


@pytest.mark.attack(1)
@pytest.mark.parametrize(
    "path",
    ["/Patient/p1", "/ImagingStudy", "/ImagingStudy/s1", "/_history", "/Consent", "/AuditEvent", "/Organization/rxa"],
)
def test_attack_1_nothing_is_open_without_a_token(app: Flask, path: str) -> None:
    settle(app)
    http = app.test_client()
    for headers in (
        {},
        {"Authorization": "Bearer x.y.z"},
        {"Authorization": "Basic eDp5"},
        {"Authorization": "Bearer "},
    ):
        answer = http.get(f"/fhir{path}", headers=headers)
        assert answer.status_code == 401
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")
        assert answer.json["issue"][0]["code"] == "login"
    answer = http.get(f"/fhir{path}?access_token=x")
    assert answer.status_code == 401


@pytest.mark.parametrize(
    "path",
    ["/fhir/metadata", "/fhir/.well-known/smart-configuration", "/health/live", "/health/ready", "/", "/auth/jwks"],
)
def test_metadata_discovery_health_and_the_landing_page_are_open(app: Flask, path: str) -> None:
    assert app.test_client().get(path).status_code == 200


def minted(app: Flask, typ: str = "at+jwt", **changed: Any) -> str:
    now = int(time.time())
    tokens = app.extensions["tokens"]
    client = Client("c", "c", "backend", "ods:RXB", SCOPE, "system", "TREAT", jwks='{"keys":[]}')
    app.extensions["services"].store.retry(lambda tx: oauth.add(tx, client))
    fresh = {
        "iss": "http://127.0.0.1:8080",
        "aud": "http://127.0.0.1:8080/fhir",
        "sub": "c",
        "client_id": "c",
        "iat": now,
        "exp": now + 300,
        "jti": "1",
        "scope": SCOPE,
        "kind": "backend",
        "org": "ods:RXB",
        "role": "system",
        "purpose": "TREAT",
    }
    return tokens.keys.sign({n: v for n, v in (fresh | changed).items() if v is not None}, typ)


@pytest.mark.attack(5, 6)
@pytest.mark.parametrize(
    ("what", "changed"),
    [
        ("another issuer's", {"iss": "https://elsewhere.example"}),
        ("for another audience", {"aud": "https://elsewhere.example/fhir"}),
        ("expired", {"exp": int(time.time()) - 1}),
        ("without an end", {"exp": None}),
        ("of the year 9999", {"exp": 253_370_764_800}),
        ("issued in the future", {"iat": int(time.time()) + 86_400, "exp": int(time.time()) + 86_500}),
        ("of another type", {"typ": "JWT"}),
        ("an id token", {"typ": "id_token"}),
    ],
)
def test_attacks_5_and_6_a_token_that_is_not_quite_right_opens_nothing(
    app: Flask, what: str, changed: dict[str, Any]
) -> None:
    settle(app)
    good = Caller(app.test_client(), minted(app))
    assert good.get("/ImagingStudy?patient=p1").status_code == 200
    answer = Caller(app.test_client(), minted(app, **changed)).get("/ImagingStudy?patient=p1")
    assert answer.status_code == 401, what


@pytest.mark.attack(2, 7)
def test_attacks_2_and_7_a_token_signed_by_another_key_or_of_a_megabyte_opens_nothing(app: Flask) -> None:
    settle(app)
    stranger = ECKey.generate_key("P-384", parameters={"kid": "x"})
    forged = jwt.encode({"alg": "ES384", "kid": "x", "typ": "at+jwt"}, {"sub": "c"}, stranger, algorithms=["ES384"])
    assert Caller(app.test_client(), forged).get("/Patient/p1").status_code == 401
    assert Caller(app.test_client(), "x" * 1_000_000).get("/Patient/p1").status_code == 401


@pytest.mark.attack(8)
def test_attack_8_a_revoked_token_and_a_disabled_client_are_refused_at_the_next_request(app: Flask) -> None:
    settle(app)
    own = caller(app)
    assert own.get("/ImagingStudy?patient=p1").status_code == 200
    answer = app.test_client().post(
        "/auth/revoke", data={"token": own.token}, headers={"Authorization": f"Bearer {own.token}"}
    )
    assert answer.status_code == 200
    assert own.get("/ImagingStudy?patient=p1").status_code == 401
    other = caller(app, ods="RXC")
    assert other.get("/Organization/rxa").status_code == 200
    name = app.extensions["tokens"].keys.verify(other.token, "at+jwt")["client_id"]
    app.extensions["services"].store.retry(lambda tx: oauth.disable(tx, name))
    assert other.get("/Organization/rxa").status_code == 401


def test_introspection_tells_a_caller_with_a_token_and_of_a_bad_token_exactly_that_it_is_not_active(app: Flask) -> None:
    settle(app)
    own = caller(app)
    ask_as = {"Authorization": f"Bearer {own.token}"}
    good = app.test_client().post("/auth/introspect", data={"token": own.token}, headers=ask_as)
    assert good.json["active"] is True
    assert good.json["organisation"] == "RXB"
    bad = app.test_client().post("/auth/introspect", data={"token": "nonsense"}, headers=ask_as)
    assert bad.json == {"active": False}
    assert app.test_client().post("/auth/introspect", data={"token": own.token}).status_code == 401


def test_keys_are_for_their_owner_alone_and_rotation_keeps_what_was_signed_good(app: Flask, tmp_path: Path) -> None:
    keys = app.extensions["tokens"].keys
    for path in keys.directory.iterdir():
        assert path.stat().st_mode & 0o077 == 0, path.name
    assert all("d" not in key for key in keys.jwks()["keys"])
    signed = keys.sign({"sub": "x"}, "at+jwt")
    keys.rotate()
    assert keys.verify(signed, "at+jwt") == {"sub": "x"}
    assert [key["alg"] for key in keys.jwks()["keys"]] == ["ES384", "ES384", "RS256", "RS256"]
    keys.rotate()
    assert keys.verify(signed, "at+jwt") is None


@pytest.mark.requirement("SMART 24", "SMART 297", "SMART 305", "SMART 316")
def test_the_command_line_registers_a_client_and_mints_a_token_within_its_scope(
    app: Flask, tmp_path: Path, key: Any
) -> None:
    settle(app)
    runner = app.test_cli_runner()
    path = tmp_path / "keys.json"
    path.write_bytes(orjson.dumps({"keys": [key.as_dict(private=False)]}))
    keys = ["--jwks", str(path), "--json"]
    added = runner.invoke(
        args=[
            "client",
            "add",
            "EPR of B",
            "--org",
            "RXB",
            "--kind",
            "backend",
            "--scope",
            SCOPE,
            "--purpose",
            "TREAT",
            *keys,
        ]
    )
    assert added.exit_code == 0, added.output
    name = orjson.loads(added.output)["client_id"]
    answer = ask(app, assertion(key, iss=name, sub=name))
    assert answer.status_code == 200, answer.text
    token = runner.invoke(args=["token", "--client", name, "--scope", "system/ImagingStudy.rs"])
    assert token.exit_code == 0
    assert Caller(app.test_client(), token.output.strip()).get("/ImagingStudy?patient=p1").status_code == 200
    too_much = runner.invoke(args=["token", "--client", name, "--scope", "system/*.cruds"])
    assert too_much.exit_code != 0
    assert runner.invoke(args=["client", "disable", name]).exit_code == 0
    assert runner.invoke(args=["token", "--client", name]).exit_code != 0
    listed = orjson.loads(runner.invoke(args=["client", "list", "--json"]).output)
    assert [row["disabled"] for row in listed if row["client_id"] == name] == [True]
    path.write_bytes(orjson.dumps({"keys": [key.as_dict(private=True)]}))
    private = runner.invoke(
        args=["client", "add", "x", "--org", "RXB", "--kind", "backend", "--scope", SCOPE, "--jwks", str(path)]
    )
    assert private.exit_code != 0
    assert "private key" in private.output
