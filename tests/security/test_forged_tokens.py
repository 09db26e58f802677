"""Attacks 1 to 7 at access tokens of the registry's own: what is forged, swapped or malformed opens nothing.

RFC 8725 (JSON Web Token best current practices), RFC 9068, RFC 6750.
"""

from __future__ import annotations

import base64
import hmac
import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from flask import Flask
from joserfc import jwt
from joserfc.jwk import ECKey
from joserfc.jws import JWSRegistry

from app import observability
from app.smart.keys import KeyStore
from tests.support.launching import APP, CLINICIAN, register, visit
from tests.support.region import Caller, caller, settle

LOOSE = JWSRegistry(algorithms=["ES384", "ES256"], strict_check_header=False)


@pytest.fixture
def keys(app: Flask) -> KeyStore:
    settle(app)
    caller(app)
    found = app.extensions["tokens"].keys
    assert isinstance(found, KeyStore)
    return found


@pytest.fixture
def trap() -> Iterator[tuple[str, list[str]]]:
    """An address that a token may name, and what is asked there: nothing, if all is well."""
    asked: list[str] = []

    class Trap(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_error(404)

        def log_message(self, *_: Any) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Trap)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/jwks", asked
    server.shutdown()
    server.server_close()
    thread.join()


def claims(**changed: Any) -> dict[str, Any]:
    now = int(time.time())
    fresh = {
        "iss": "http://127.0.0.1:8080",
        "aud": "http://127.0.0.1:8080/fhir",
        "sub": "backend-rxb-system-treat",
        "client_id": "backend-rxb-system-treat",
        "iat": now,
        "exp": now + 300,
        "jti": f"{time.time_ns()}",
        "scope": "system/*.rs",
        "kind": "backend",
        "org": "ods:RXB",
        "role": "system",
        "purpose": "TREAT",
    }
    return {name: value for name, value in (fresh | changed).items() if value is not None}


def signed(keys: KeyStore, header: dict[str, Any] | None = None, key: Any = None, **changed: Any) -> str:
    """A token as the registry makes it, but for what is changed."""
    own = keys.access.current()[-1]
    head = {"alg": "ES384", "kid": own.kid, "typ": "at+jwt"} | (header or {})
    return jwt.encode({n: v for n, v in head.items() if v is not None}, claims(**changed), key or own, registry=LOOSE)


def part(value: Any) -> str:
    text = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(text).decode().rstrip("=")


def by_hand(keys: KeyStore, head: bytes, body: bytes) -> str:
    """A token with a good signature over exactly these bytes."""
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

    said = f"{part(head)}.{part(body)}"
    private = keys.access.current()[-1].private_key
    assert isinstance(private, ec.EllipticCurvePrivateKey)
    r, s = decode_dss_signature(private.sign(said.encode(), ec.ECDSA(hashes.SHA384())))
    return f"{said}.{part(r.to_bytes(48, 'big') + s.to_bytes(48, 'big'))}"


def status(app: Flask, token: str) -> int:
    return Caller(app.test_client(), token).get("/ImagingStudy?patient=p1").status_code


def test_a_token_made_by_hand_as_it_should_be_opens_what_it_may(app: Flask, keys: KeyStore) -> None:
    assert status(app, signed(keys)) == 200
    head = {"alg": "ES384", "kid": keys.access.current()[-1].kid, "typ": "at+jwt"}
    assert status(app, by_hand(keys, json.dumps(head).encode(), json.dumps(claims()).encode())) == 200


@pytest.mark.attack(1)
def test_attack_1_a_token_in_the_address_opens_nothing_and_is_not_logged(
    app: Flask, keys: KeyStore, capfd: pytest.CaptureFixture[str]
) -> None:
    observability.configure("debug", "json")
    token = signed(keys)
    answer = app.test_client().get("/fhir/ImagingStudy/s1", query_string={"access_token": token})
    logged = "".join(capfd.readouterr())
    observability.configure("error", "json")
    assert answer.status_code == 401 and token not in answer.text
    assert '"event": "request"' in logged and token not in logged


@pytest.mark.attack(1)
@pytest.mark.parametrize(
    "header", ["Bearer", "Bearer ", "Bearer a b", "bearer\tx", "Basic eDp5", "Bearer ..", "Bearer a.b", "Bearer \u00e9.\u00e9.\u00e9", "Token x"]
)  # fmt: skip
def test_attack_1_a_malformed_header_opens_nothing(app: Flask, keys: KeyStore, header: str) -> None:
    answer = app.test_client().get("/fhir/ImagingStudy/s1", headers={"Authorization": header})
    assert answer.status_code == 401 and answer.headers["WWW-Authenticate"].startswith("Bearer")


@pytest.mark.attack(1)
def test_attack_1_two_tokens_open_nothing(app: Flask, keys: KeyStore) -> None:
    good = f"Bearer {signed(keys)}"
    answer = app.test_client().get("/fhir/ImagingStudy/s1", headers=[("Authorization", good), ("Authorization", good)])
    assert answer.status_code == 401


@pytest.mark.attack(2)
@pytest.mark.parametrize("alg", ["none", "None", "NONE", "nOnE"])
def test_attack_2_no_signature_is_none(app: Flask, keys: KeyStore, alg: str) -> None:
    head = {"alg": alg, "kid": keys.access.current()[-1].kid, "typ": "at+jwt"}
    for signature in ("", signed(keys).split(".")[2]):
        assert status(app, f"{part(head)}.{part(claims())}.{signature}") == 401


@pytest.mark.attack(2)
def test_attack_2_the_public_key_is_no_secret(app: Flask, keys: KeyStore) -> None:
    own = keys.access.current()[-1]
    for public in (own.as_pem(private=False), json.dumps(own.as_dict(private=False)).encode()):
        for kid in (own.kid, None):
            said = f"{part({'alg': 'HS384', 'kid': kid, 'typ': 'at+jwt'})}.{part(claims())}"
            assert status(app, f"{said}.{part(hmac.digest(public, said.encode(), 'sha384'))}") == 401


@pytest.mark.attack(3)
@pytest.mark.parametrize("way", ["jwk", "jku", "x5u", "x5c"])
def test_attack_3_a_key_that_the_token_brings_or_points_at_is_ignored(
    app: Flask, keys: KeyStore, trap: tuple[str, list[str]], way: str
) -> None:
    address, asked = trap
    stranger = ECKey.generate_key("P-384", parameters={"kid": "stranger"})
    brought = {
        "jwk": {"jwk": stranger.as_dict(private=False)},
        "jku": {"jku": address},
        "x5u": {"x5u": address},
        "x5c": {"x5c": ["MIIB"]},
    }[way]
    for kid in ("stranger", keys.access.current()[-1].kid, None):
        assert status(app, signed(keys, brought | {"kid": kid}, stranger)) == 401
    assert status(app, signed(keys, brought)) in (200, 401)  # the registry's own signature: ignored, never followed
    assert asked == []


@pytest.mark.attack(4)
@pytest.mark.parametrize(
    "kid", ["../../../etc/passwd", "/dev/null", "' OR 1=1 --", "signing-000001.json", "x" * 10_000, "unknown", "", "\x00", 7, None, ["a"]]
)  # fmt: skip
def test_attack_4_a_kid_is_a_name_and_nothing_else(app: Flask, keys: KeyStore, kid: Any) -> None:
    head = {"alg": "ES384", "kid": kid, "typ": "at+jwt"}
    keys.rotate()  # there are two keys, so that a token without a name has none
    token = by_hand(keys, json.dumps(head).encode(), json.dumps(claims()).encode())
    assert status(app, token) == 401


@pytest.mark.attack(5)
@pytest.mark.parametrize(
    ("changed", "header"),
    [
        ({"iss": "https://elsewhere.example"}, {}),
        ({"iss": None}, {}),
        ({"iss": "http://127.0.0.1:8080/"}, {}),
        ({"aud": "https://elsewhere.example/fhir"}, {}),
        ({"aud": None}, {}),
        ({"aud": ["http://127.0.0.1:8080/fhir", "https://elsewhere.example"]}, {}),
        ({}, {"typ": "JWT"}),
        ({}, {"typ": None}),
        ({}, {"typ": "id_token+jwt"}),
    ],
)
def test_attack_5_of_another_issuer_audience_or_type(
    app: Flask, keys: KeyStore, changed: dict[str, Any], header: dict[str, Any]
) -> None:
    assert status(app, signed(keys, header, **changed)) == 401


@pytest.mark.attack(5)
def test_attack_5_an_id_token_and_a_refresh_token_are_no_access_tokens(app: Flask, keys: KeyStore) -> None:
    register(app, APP, CLINICIAN)
    said = visit(app).tokens()
    assert status(app, said["access_token"]) == 200
    assert status(app, said["id_token"]) == status(app, said["refresh_token"]) == 401


NOW = int(time.time())
DAY = 86_400  # longer than any run of the suite: NOW is when the tests are collected


@pytest.mark.attack(6)
@pytest.mark.parametrize(
    "changed",
    [
        {"exp": NOW - 1},
        {"exp": None},
        {"exp": 253_370_764_800},
        {"exp": NOW + 7200},
        {"exp": str(NOW + 300)},
        {"exp": True},
        {"exp": -1},
        {"iat": NOW + DAY, "exp": NOW + DAY + 100},
        {"iat": None},
        {"nbf": NOW + DAY},
    ],
)
@pytest.mark.requirement("SMART 77", "SMART 91", "SMART 94", "SMART 265")
def test_attack_6_expired_endless_or_not_valid_yet(app: Flask, keys: KeyStore, changed: dict[str, Any]) -> None:
    assert status(app, signed(keys, **changed)) == 401


@pytest.mark.attack(6)
def test_attack_6_a_clock_that_is_off_by_less_than_a_minute_is_borne_and_by_more_is_not(
    app: Flask, keys: KeyStore
) -> None:
    now = int(time.time())
    assert status(app, signed(keys, iat=now + 45, exp=now + 300)) == 200
    assert status(app, signed(keys, iat=now + 75, exp=now + 300)) == 401


@pytest.mark.attack(7)
def test_attack_7_extensions_that_are_not_known_and_members_given_twice(app: Flask, keys: KeyStore) -> None:
    kid = keys.access.current()[-1].kid
    body = json.dumps(claims()).encode()
    critical = json.dumps({"alg": "ES384", "kid": kid, "typ": "at+jwt", "crit": ["exp2"], "exp2": 1}).encode()
    assert status(app, by_hand(keys, critical, body)) == 401
    head = json.dumps({"alg": "ES384", "kid": kid, "typ": "at+jwt"}).encode()
    assert status(app, by_hand(keys, head, body[:-1] + b',"org":"ods:RXA"}')) == 401
    assert status(app, by_hand(keys, head[:-1] + b',"alg":"ES384"}', body)) == 401
    for odd in (b"[]", b"null", b"{", b"\xff", b"[" * 3000):
        assert status(app, by_hand(keys, head, odd)) == 401
        assert status(app, by_hand(keys, odd, body)) == 401


@pytest.mark.attack(7)
def test_attack_7_a_token_of_a_megabyte(app: Flask, keys: KeyStore) -> None:
    assert status(app, signed(keys, pad="x" * 1_000_000)) == 401
    assert status(app, "." * 1_000_000) == 401
