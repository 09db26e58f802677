"""Attacks 8 and 10 to 15: authorization requests, codes, launches and refresh tokens; and every malformed request.

Each error is the one that RFC 6749, 7636, 9700 and OpenID Connect name; nothing is sent to an address that is not
registered, nothing fails, and nothing secret is logged.
"""

from __future__ import annotations

import base64
import html
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from flask import Flask
from hypothesis import given, settings
from hypothesis import strategies as st

from app.smart.authorize import KNOWN, Problem, check
from app.storage.oauth import Client
from tests.support.launching import APP, AUD, CLINICIAN, REDIRECT, Visit, register, visit
from tests.support.region import Caller, settle

OTHER = replace(APP, id="app-c", name="App of C", organisation="ods:RXC", redirect_uris="https://other.example/back")


@pytest.fixture
def region(app: Flask) -> Flask:
    settle(app)
    register(app, APP, OTHER, CLINICIAN)
    return app


def error(seen: Visit) -> str:
    """The error that the app is told at its own address, with its state."""
    told = seen.returned()
    assert told.get("state") == seen.state and "code" not in told
    return told["error"]


def opens(app: Flask, token: str) -> bool:
    return Caller(app.test_client(), token).get("/ImagingStudy/s1").status_code == 200


# What is sent nowhere ------------------------------------------------------------------------------------------------------


@pytest.mark.attack(11)
@pytest.mark.parametrize(
    "address",
    [
        None,
        "",
        "https://app.example/callback/",
        "https://app.example/callback?x=1",
        "https://app.example/callback#x",
        "https://app.example/Callback",
        "https://APP.example/callback",
        "http://app.example/callback",
        "https://app.example:443/callback",
        "https://app.example/./callback",
        "https://app.example/callback%2f",
        "https://app.example@evil.example/callback",
        "https://app.example.evil.example/callback",
        "https://evil.example/callback",
        "//app.example/callback",
        "javascript:alert(1)",
        "https://other.example/back",
        REDIRECT + " https://evil.example",
        "\u202ehttps://app.example/callback",
    ],
)
@pytest.mark.requirement("SMART 18")
def test_attack_11_an_address_that_is_not_exactly_the_registered_one_is_gone_to_by_nobody(
    region: Flask, address: str | None
) -> None:
    seen = visit(region)
    answer = seen.authorize(redirect_uri=address)
    assert answer.status_code == 400 and "Location" not in answer.headers
    assert "invalid_request: redirect_uri" in answer.text
    assert "evil" not in answer.text


@pytest.mark.parametrize("client", [None, "", "nobody", "app-b ", "app-b\x00", "x" * 10_000, "';--", "\u202e"])
def test_an_app_that_is_not_registered_is_sent_nowhere(region: Flask, client: str | None) -> None:
    answer = visit(region).authorize(client_id=client)
    assert answer.status_code == 400 and "Location" not in answer.headers


def test_a_disabled_app_and_one_given_twice_are_sent_nowhere(region: Flask) -> None:
    register(region, replace(APP, disabled=True))
    assert visit(region).authorize().status_code == 400
    register(region, APP)
    seen = visit(region)
    for twice in ("client_id", "redirect_uri"):
        asked = list(seen.parameters().items())
        asked.append((twice, dict(asked)[twice]))
        answer = seen.http.get("/auth/authorize", query_string=asked)
        assert answer.status_code == 400 and "Location" not in answer.headers


# What the app is told ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changed", "name"),
    [
        ({"response_type": None}, "invalid_request"),
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"response_type": "code id_token"}, "unsupported_response_type"),
        ({"response_type": 'code"é'}, "unsupported_response_type"),
        ({"response_mode": "fragment"}, "invalid_request"),
        ({"scope": None}, "invalid_scope"),
        ({"scope": " "}, "invalid_scope"),
        ({"scope": "everything"}, "invalid_scope"),
        ({"scope": "patient/*.dus"}, "invalid_scope"),
        ({"scope": "system/*.rs"}, "invalid_scope"),
        ({"scope": "patient/*.rs system/*.rs"}, "invalid_scope"),
        ({"scope": "patient/ImagingStudy.rs?modality:not=CT"}, "invalid_scope"),
        ({"scope": "patient/*.rs " * 100}, "invalid_scope"),
        ({"request": "eyJ"}, "request_not_supported"),
        ({"request_uri": "https://evil.example"}, "request_uri_not_supported"),
        ({"prompt": "none login"}, "invalid_request"),
        ({"prompt": "please"}, "invalid_request"),
        ({"max_age": "-1"}, "invalid_request"),
        ({"max_age": "soon"}, "invalid_request"),
        ({"nonce": ""}, "invalid_request"),
        ({"launch": "x"}, "invalid_request"),
        ({"scope": "launch patient/*.rs"}, "invalid_request"),
    ],
)
def test_a_malformed_request_is_told_to_the_app_by_the_name_that_the_standard_has(
    region: Flask, changed: dict[str, str], name: str
) -> None:
    seen = visit(region)
    seen.authorize(**changed)
    assert error(seen) == name


@pytest.mark.parametrize("state", [None, "", "caf\u00e9", "a\x00b", "a\nb"])
def test_a_request_without_a_good_state_is_refused_and_the_state_is_not_repeated(
    region: Flask, state: str | None
) -> None:
    seen = visit(region)
    seen.authorize(state=state)
    told = seen.returned()
    assert told["error"] == "invalid_request" and "state" not in told


@pytest.mark.attack(10)
@pytest.mark.parametrize(
    ("changed", "what"),
    [
        ({"code_challenge": None}, "missing"),
        ({"code_challenge_method": None}, "plain by default"),
        ({"code_challenge_method": "plain"}, "plain"),
        ({"code_challenge_method": "s256"}, "another spelling"),
        ({"code_challenge": None, "code_challenge_method": None}, "none at all"),
        ({"code_challenge": "short"}, "too short"),
        ({"code_challenge": "x" * 44}, "too long"),
        ({"code_challenge": "=" * 43}, "of other letters"),
    ],
)
@pytest.mark.requirement("SMART 14", "SMART 15")
def test_attack_10_without_pkce_by_s256_nobody_is_asked_anything(
    region: Flask, changed: dict[str, str | None], what: str
) -> None:
    for client in (APP, replace(APP, id="app-s", secret_hash="scrypt:1:1:1$a$b")):
        register(region, client)
        seen = visit(region, client=client)
        seen.authorize(**changed)
        assert error(seen) == "invalid_request", what


@pytest.mark.attack(12)
@pytest.mark.parametrize(
    "aud", [None, "", "https://elsewhere.example/fhir", "http://127.0.0.1:8080", AUD + "/x", AUD.upper(), "http://127.0.0.1:8081/fhir"]
)  # fmt: skip
@pytest.mark.requirement("SMART 96")
def test_attack_12_a_request_meant_for_another_server_is_refused(region: Flask, aud: str | None) -> None:
    seen = visit(region)
    seen.authorize(aud=aud)
    assert error(seen) == "invalid_request"


@pytest.mark.parametrize("name", [name for name in KNOWN if name not in ("client_id", "redirect_uri", "state")])
def test_a_parameter_given_twice_is_refused(region: Flask, name: str) -> None:
    seen = visit(region)
    asked = seen.parameters()
    pairs = [*asked.items(), (name, asked.get(name, "x")), (name, "x")]
    seen._see(seen.http.get("/auth/authorize", query_string=pairs))
    assert error(seen) == "invalid_request"


def test_a_form_with_parameters_in_its_address_too_is_refused(region: Flask) -> None:
    seen = visit(region)
    answer = seen.http.post(f"/auth/authorize?client_id={APP.id}", data=seen.parameters())
    assert answer.status_code == 400 and "Location" not in answer.headers


def test_a_form_that_is_too_large_is_refused(region: Flask) -> None:
    answer = visit(region).http.post("/auth/authorize", data={"state": "x" * 100_000})
    assert answer.status_code == 413
    assert visit(region).http.post("/auth/token", data={"code": "x" * 100_000}).status_code == 413


# Pages ---------------------------------------------------------------------------------------------------------------------------


@pytest.mark.attack(75)
def test_a_form_without_the_browsers_own_mark_changes_nothing(region: Flask) -> None:
    seen = visit(region)
    seen.authorize()
    handle = seen.fields()["request"]
    for mark in ({}, {"csrf_token": ""}, {"csrf_token": "forged"}):
        answer = seen.http.post("/auth/sign-in", data={"request": handle, "username": "dr-b", "password": "x"} | mark)
        assert answer.status_code == 400 and "This page has expired" in answer.text


@pytest.mark.attack(14)
def test_attack_14_a_request_under_way_is_answered_in_its_own_browser_alone(region: Flask) -> None:
    seen, other = visit(region), visit(region)
    seen.authorize()
    other.tokens()
    stolen = seen.at.split("request=")[1]
    for page in ("sign-in", "patient", "study", "approve"):
        answer = other.http.get(f"/auth/{page}?request={stolen}")
        assert answer.status_code == 400 and "This page has expired" in answer.text


def test_an_approval_is_given_once(region: Flask) -> None:
    seen = visit(region)
    seen.authorize()
    seen.sign_in()
    seen.choose(patient="p1")
    form = seen.fields() | {"decision": "allow"}
    assert seen.http.post("/auth/approve", data=form).status_code == 303
    assert seen.http.post("/auth/approve", data=form).status_code == 400


def test_a_log_in_changes_the_name_of_the_browser(region: Flask) -> None:
    seen = visit(region)
    seen.authorize()
    before = seen.http.get_cookie("registry").value
    seen.sign_in()
    cookie = seen.http.get_cookie("registry")
    assert cookie.value != before
    assert cookie.http_only and cookie.same_site == "Lax" and not cookie.secure  # http on loopback


@pytest.mark.parametrize(
    "onward", ["https://evil.example", "//evil.example", "/\\evil.example", "javascript:alert(1)", "/a\nb"]
)
def test_nobody_is_sent_elsewhere_by_what_stands_in_a_link(region: Flask, onward: str) -> None:
    seen = visit(region)
    seen._see(seen.http.get("/auth/sign-in", query_string={"next": onward}))
    answer = seen.http.post("/auth/sign-in", data=seen.fields() | {"username": "dr-b", "password": "correct horse"})
    assert (answer.status_code, answer.headers["Location"]) == (303, "/")


def test_a_wrong_password_says_the_same_as_a_name_nobody_has_and_five_lock_for_a_minute(region: Flask) -> None:
    seen = visit(region)
    seen.authorize()
    nobody = seen.sign_in("nobody", "x" * 20).text.replace("nobody", "?")
    wrong = [seen.sign_in("dr-b", "wrong") for _ in range(5)]
    assert {answer.status_code for answer in wrong} == {400}
    strip = [line for line in wrong[0].text.replace("dr-b", "?").splitlines() if "csrf" not in line]
    assert strip == [line for line in nobody.splitlines() if "csrf" not in line]
    assert seen.sign_in().status_code == 400  # the right one, too soon
    store = region.extensions["services"].store
    later = store.clock() + 61_000_000
    store.clock = lambda: later
    seen.sign_in()
    assert seen.page == "Which patient?"


def test_someone_who_is_disabled_is_out_at_the_next_request(region: Flask) -> None:
    seen = visit(region)
    said = seen.tokens()
    assert opens(region, said["access_token"])
    assert region.test_cli_runner().invoke(args=["user", "disable", "dr-b"]).exit_code == 0
    assert not opens(region, said["access_token"])
    seen.authorize()
    assert seen.page == "Sign in"
    assert seen.sign_in().status_code == 400
    register(region, CLINICIAN)  # taken on again
    seen.sign_in()
    assert seen.page == "Which patient?"


@pytest.mark.parametrize("page", ["sign-in", "patient", "study", "approve"])
def test_no_page_runs_a_script_or_stands_in_a_frame(region: Flask, page: str) -> None:
    seen = visit(region)
    seen.authorize()
    answer = seen.http.get(f"/auth/{page}", query_string={"request": seen.fields().get("request")})
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy and "script-src" not in policy
    assert answer.headers["Cache-Control"] == "no-store" and answer.headers["Referrer-Policy"] == "no-referrer"


@pytest.mark.attack(75)
def test_what_an_app_calls_itself_is_text_on_the_page(region: Flask) -> None:
    register(region, replace(APP, name="<script>alert(1)</script>"))
    seen = visit(region)
    answer = seen.authorize()
    assert "<script>" not in answer.text and html.escape("<script>") in answer.text


# Codes ---------------------------------------------------------------------------------------------------------------------------


@pytest.mark.attack(10, 11)
@pytest.mark.parametrize(
    ("changed", "name"),
    [
        ({"code": None}, "invalid_request"),
        ({"code": "unknown"}, "invalid_grant"),
        ({"redirect_uri": None}, "invalid_request"),
        ({"redirect_uri": "https://app.example/other"}, "invalid_grant"),
        ({"code_verifier": None}, "invalid_request"),
        ({"code_verifier": "x" * 43}, "invalid_grant"),
        ({"code_verifier": "short"}, "invalid_grant"),
        ({"client_id": "app-c"}, "invalid_grant"),
        ({"client_id": "nobody"}, "invalid_client"),
        ({"client_id": None}, "invalid_client"),
        ({"grant_type": "password"}, "unsupported_grant_type"),
        ({"grant_type": 'caf\u00e9"'}, "unsupported_grant_type"),
        ({"grant_type": None}, "invalid_request"),
        ({"grant_type": "client_credentials", "scope": "system/*.rs"}, "invalid_client"),
    ],
)
@pytest.mark.requirement("SMART 31")
def test_attacks_10_and_11_a_code_opens_nothing_with_anything_else_than_what_it_was_asked_with(
    region: Flask, changed: dict[str, str | None], name: str
) -> None:
    seen = visit(region)
    answer = seen.exchange(**({"code": seen.code()} | changed))
    assert (answer.status_code, answer.json["error"]) == (401 if name == "invalid_client" else 400, name)
    assert answer.headers["Cache-Control"] == "no-store"


@pytest.mark.attack(11)
def test_attack_11_a_code_presented_again_ends_what_it_gave(region: Flask) -> None:
    seen = visit(region)
    code = seen.code()
    said = seen.exchange(code).json
    assert opens(region, said["access_token"])
    assert seen.exchange(code).json["error"] == "invalid_grant"
    assert not opens(region, said["access_token"])
    assert seen.refresh(said["refresh_token"]).json["error"] == "invalid_grant"


@pytest.mark.attack(11)
@pytest.mark.requirement("SMART 58")
def test_attack_11_a_code_is_good_for_two_minutes(region: Flask) -> None:
    seen = visit(region)
    code = seen.code()
    store = region.extensions["services"].store
    later = store.clock() + 121_000_000
    store.clock = lambda: later
    assert seen.exchange(code).json["error"] == "invalid_grant"


def test_a_token_request_takes_each_parameter_once_and_from_the_body_alone(region: Flask) -> None:
    seen = visit(region)
    code = seen.code()
    form = [("grant_type", "authorization_code"), ("code", code), ("code", code)]
    assert seen.http.post("/auth/token", data=dict(form) | {"code": [code, code]}).json["error"] == "invalid_request"
    answer = seen.http.post("/auth/token?grant_type=authorization_code", data={"code": code})
    assert answer.json["error"] == "invalid_request"
    assert seen.http.post("/auth/token", json={"grant_type": "authorization_code"}).json["error"] == "invalid_request"
    assert seen.exchange(code).status_code == 200  # it was not spent on them


@pytest.mark.parametrize(
    "header", ["Basic", "Basic ", "Basic !!!", "Basic /w==", "Basic " + base64.b64encode(b"\xff\xfe:x").decode()]
)
def test_a_basic_header_that_cannot_be_read_proves_nobody(region: Flask, header: str) -> None:
    answer = visit(region).http.post(
        "/auth/token",
        data={"grant_type": "client_credentials", "scope": "system/*.rs"},
        headers={"Authorization": header},
    )
    assert (answer.status_code, answer.json["error"]) == (401, "invalid_client")
    assert answer.headers["WWW-Authenticate"].startswith("Basic")


# Refresh tokens --------------------------------------------------------------------------------------------------------------------


@pytest.mark.attack(13)
def test_attack_13_a_refresh_token_used_again_ends_the_family(region: Flask) -> None:
    seen = visit(region)
    first = seen.tokens()
    second = seen.refresh(first["refresh_token"]).json
    assert opens(region, second["access_token"])
    assert seen.refresh(first["refresh_token"]).json["error"] == "invalid_grant"
    assert seen.refresh(second["refresh_token"]).json["error"] == "invalid_grant"
    assert not opens(region, second["access_token"]) and not opens(region, first["access_token"])


@pytest.mark.attack(13)
@pytest.mark.parametrize(
    ("scope", "name"),
    [
        ("patient/*.cruds", "invalid_scope"),
        ("user/*.rs", "invalid_scope"),
        ("system/*.rs", "invalid_scope"),
        ("patient/*.rs launch", "invalid_scope"),
        ("nonsense", "invalid_scope"),
    ],
)
def test_attack_13_a_wider_scope_is_refused_and_the_token_is_not_spent(region: Flask, scope: str, name: str) -> None:
    seen = visit(region)
    first = seen.tokens()
    answer = seen.refresh(first["refresh_token"], scope=scope)
    assert (answer.status_code, answer.json["error"]) == (400, name)
    assert seen.refresh(first["refresh_token"]).status_code == 200


@pytest.mark.attack(13)
@pytest.mark.requirement("SMART 103")
def test_attack_13_another_client_cannot_use_a_refresh_token(region: Flask) -> None:
    seen = visit(region)
    first = seen.tokens()
    assert seen.refresh(first["refresh_token"], client_id="app-c").json["error"] == "invalid_grant"
    register(region, replace(APP, secret_hash="scrypt:1:1:1$a$b"))  # it keeps a secret from now on
    for client in ("app-b", None):
        assert seen.refresh(first["refresh_token"], client_id=client).json["error"] == "invalid_client"
    register(region, APP)
    assert seen.refresh(first["refresh_token"], client_id=None).status_code == 200  # RFC 6749, section 6
    assert seen.refresh("x" * 1000).json["error"] == "invalid_grant"


# Revocation and introspection -----------------------------------------------------------------------------------------------------


@pytest.mark.attack(8)
def test_attack_8_what_was_revoked_a_second_ago_opens_nothing(region: Flask) -> None:
    seen = visit(region)
    said = seen.tokens()
    other = {"token": said["access_token"], "client_id": "app-c"}
    assert seen.http.post("/auth/revoke", data=other).status_code == 200
    assert opens(region, said["access_token"])  # it was not theirs
    assert seen.http.post("/auth/revoke", data={"token": said["access_token"], "client_id": "app-b"}).status_code == 200
    assert not opens(region, said["access_token"])
    renewed = seen.refresh(said["refresh_token"]).json
    assert opens(region, renewed["access_token"])
    form = {"token": renewed["refresh_token"], "client_id": "app-b", "token_type_hint": "refresh_token"}
    assert seen.http.post("/auth/revoke", data=form).status_code == 200
    assert not opens(region, renewed["access_token"])
    assert seen.refresh(renewed["refresh_token"]).json["error"] == "invalid_grant"
    assert seen.http.post("/auth/revoke", data={"token": "unknown", "client_id": "app-b"}).status_code == 200


@pytest.mark.requirement(
    "SMART 99",
    "SMART 269",
    "SMART 271",
    "SMART 272",
    "SMART 273",
    "SMART 274",
    "SMART 275",
    "SMART 277",
    "SMART 278",
    "SMART 279",
    "SMART 280",
    "SMART 281",
    "SMART 282",
    "SMART 283",
)
def test_introspection_tells_a_client_of_context_and_person_and_of_what_is_not_good_exactly_that(region: Flask) -> None:
    seen = visit(region)
    said = seen.tokens()
    from tests.support.region import caller

    gate = {"Authorization": f"Bearer {caller(region).token}"}
    told = seen.http.post("/auth/introspect", data={"token": said["access_token"]}, headers=gate).json
    assert told.pop("exp") > 0
    assert told == {
        "active": True,
        "client_id": "app-b",
        "sub": "dr-b",
        "scope": said["scope"],
        "iss": "http://127.0.0.1:8080",
        "aud": AUD,
        "token_type": "Bearer",
        "organisation": "RXB",
        "role": "clinician",
        "purpose": "TREAT",
        "practitioner": "Practitioner/dr-b",
        "patient": "p1",
        "need_patient_banner": True,
        "fhirUser": f"{AUD}/Practitioner/dr-b",
    }
    own = {"Authorization": f"Bearer {said['access_token']}"}
    assert seen.http.post("/auth/introspect", data={"token": said["access_token"]}, headers=own).json["active"] is True
    for token in ("x", said["refresh_token"], said["id_token"], said["access_token"] + "x", "x" * 60_000):
        assert seen.http.post("/auth/introspect", data={"token": token}, headers=gate).json == {"active": False}
    elsewhere = visit(region, client=OTHER)
    register(region, replace(OTHER, organisation="ods:RXB"))
    foreign = {"Authorization": f"Bearer {elsewhere.tokens()['access_token']}"}
    assert seen.http.post("/auth/introspect", data={"token": said["access_token"]}, headers=foreign).json == {
        "active": False
    }
    assert seen.http.post("/auth/introspect", data={"token": "x"}).status_code == 401
    assert seen.http.post("/auth/introspect", data={"token": "x", "client_id": "app-b"}).status_code == 401
    assert seen.http.post("/auth/introspect", headers=gate).json["error"] == "invalid_request"


# Launches ----------------------------------------------------------------------------------------------------------------------------


def launched(app: Flask, client: Client, user: Any, **context: str) -> str:
    from app.smart import launches
    from app.smart.person import Person

    person = Person(user.id, user.name, user.role, user.organisation, user.practitioner, user.patient, 1)
    return app.extensions["services"].store.retry(lambda tx: launches.make(tx, client, person, context))


def ehr(app: Flask, handle: str, username: str = "dr-b") -> Visit:
    seen = visit(app, scope="launch patient/*.rs")
    seen.authorize(launch=handle)
    if seen.page == "Sign in":
        seen.sign_in(username)
    return seen


@pytest.mark.requirement("SMART 171", "SMART 349", "SMART 351", "SMART 352", "SMART 361", "SMART 362")
def test_a_launch_from_a_record_opens_for_its_patient_encounter_and_study(region: Flask) -> None:
    seen = ehr(region, launched(region, APP, CLINICIAN, patient="p1", encounter="enc-1", imagingstudy="s1"))
    assert seen.page == "Allow App of B to do this?"
    seen.allow()
    said = seen.exchange(seen.returned()["code"]).json
    assert (said["patient"], said["encounter"]) == ("p1", "enc-1")
    assert said["fhirContext"] == [{"reference": "ImagingStudy/s1"}]


@pytest.mark.attack(14)
def test_attack_14_a_launch_serves_once_for_its_app_its_person_and_five_minutes(region: Flask) -> None:
    handle = launched(region, APP, CLINICIAN, patient="p1")
    ehr(region, handle).allow()
    assert error(ehr(region, handle)) == "invalid_request"
    assert error(ehr(region, "unknown")) == "invalid_request"
    assert error(ehr(region, launched(region, OTHER, CLINICIAN, patient="p1"))) == "invalid_request"
    colleague = replace(CLINICIAN, id="dr-d")
    register(region, colleague)
    assert error(ehr(region, launched(region, APP, CLINICIAN, patient="p1"), "dr-d")) == "access_denied"
    old = launched(region, APP, CLINICIAN, patient="p1")
    store = region.extensions["services"].store
    later = store.clock() + 301_000_000
    store.clock = lambda: later
    assert error(ehr(region, old)) == "invalid_request"


@pytest.mark.attack(15)
def test_attack_15_an_app_of_one_trust_is_used_by_nobody_of_another(region: Flask) -> None:
    seen = visit(region, client=OTHER)
    seen.authorize()
    seen.sign_in()
    assert error(seen) == "access_denied"


def test_an_app_of_the_region_is_used_by_each_of_its_trusts_and_acts_for_the_persons_own(region: Flask) -> None:
    steward = Caller(
        region.test_client(),
        region.test_cli_runner().invoke(args=["token", "--client", "steward-zzz-system-none"]).output.strip(),
    )
    from tests.support.region import organization

    assert steward.put("/Organization/rxr", organization("RXR")).status_code == 201
    assert steward.put("/Organization/rxb", organization("RXB", "RXR")).status_code == 200
    register(region, replace(APP, organisation="ods:RXR"))
    said = visit(region).tokens()
    assert region.extensions["tokens"].subject(said["access_token"]).organisation == "ods:RXB"
    assert opens(region, said["access_token"])


# Whatever comes ------------------------------------------------------------------------------------------------------------------------

TEXT = st.text(max_size=40) | st.sampled_from(
    ["code", "S256", AUD, REDIRECT, "app-b", "patient/*.rs", "launch", "none", ""]
)
PAIRS = st.lists(st.tuples(st.sampled_from(KNOWN) | st.text(max_size=12), TEXT), max_size=20)


@settings(max_examples=300)
@given(PAIRS)
def test_any_authorization_request_is_understood_or_refused_and_never_sent_to_a_strange_address(
    pairs: list[tuple[str, str]],
) -> None:
    def find(name: str) -> Client | None:
        return APP if name == APP.id else None

    try:
        asked = check(pairs, find, AUD)
    except Problem as problem:
        assert problem.redirect_uri in (None, REDIRECT)
        assert problem.description.isascii() and '"' not in problem.description and "\\" not in problem.description
    else:
        assert asked.redirect_uri == REDIRECT and asked.challenge and asked.state and asked.scope


GARBLED: list[tuple[str, Callable[[Any], Any]]] = [
    ("no body", lambda http: http.post("/auth/token")),
    ("bytes", lambda http: http.post("/auth/token", data=b"\xff\xfe\x00", content_type="application/x-www-form-urlencoded")),
    ("percent", lambda http: http.post("/auth/token", data=b"grant_type=%ff%fe&code=%", content_type="application/x-www-form-urlencoded")),
    ("multipart", lambda http: http.post("/auth/token", data=b"--x", content_type="multipart/form-data; boundary=x")),
    ("multipart without boundary", lambda http: http.post("/auth/token", data=b"x", content_type="multipart/form-data")),
    ("many fields", lambda http: http.post("/auth/token", data={f"a{n}": "x" for n in range(3000)})),
    ("nul", lambda http: http.post("/auth/token", data={"grant_type": "authorization_code", "client_id": "a\x00", "code": "\x00"})),
    ("nul refresh", lambda http: http.post("/auth/token", data={"grant_type": "refresh_token", "client_id": "app-b", "refresh_token": "\x00\ud7ff"})),
    ("assertion", lambda http: http.post("/auth/token", data={"grant_type": "client_credentials", "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer", "client_assertion": "a.b.c"})),
    ("assertion type", lambda http: http.post("/auth/token", data={"grant_type": "client_credentials", "client_assertion_type": "saml"})),
    ("get", lambda http: http.get("/auth/token")),
    ("introspect", lambda http: http.post("/auth/introspect", data=b"\xff")),
    ("revoke", lambda http: http.post("/auth/revoke", data={"token": "\x00", "client_id": "\x00"})),
    ("userinfo", lambda http: http.get("/auth/userinfo", headers={"Authorization": "Bearer \u00ff"})),
    ("authorize nul", lambda http: http.get("/auth/authorize?client_id=%00&redirect_uri=%00")),
    ("authorize bytes", lambda http: http.get("/auth/authorize?client_id=%ff%fe&state=%ff")),
    ("page", lambda http: http.get("/auth/approve?request=%00")),
    ("sign-in", lambda http: http.post("/auth/sign-in", data={"username": "\x00", "password": "\x00"})),
    ("callback", lambda http: http.get("/auth/callback?state=%ff&code=%00")),
    ("elsewhere", lambda http: http.get("/auth/elsewhere/%00")),
    ("head", lambda http: http.head("/auth/authorize")),
    ("delete", lambda http: http.delete("/auth/authorize")),
]  # fmt: skip


@pytest.mark.parametrize(("what", "send"), GARBLED, ids=[what for what, _ in GARBLED])
def test_whatever_is_sent_is_answered_with_an_error_and_no_failure(
    region: Flask, what: str, send: Callable[[Any], Any]
) -> None:
    answer = send(region.test_client())
    assert 400 <= answer.status_code < 500, (what, answer.status_code)
    assert "Location" not in answer.headers
    if answer.mimetype == "application/json":
        assert answer.json["error"] in (
            "invalid_request", "invalid_client", "invalid_grant", "invalid_token", "unsupported_grant_type",
        )  # fmt: skip


def test_nothing_secret_is_kept_or_logged(region: Flask, capfd: pytest.CaptureFixture[str]) -> None:
    from app import observability

    observability.configure("debug", "json")
    seen = visit(region)
    code = seen.code()
    said = seen.exchange(code).json
    again = seen.refresh(said["refresh_token"]).json
    seen.exchange(code)
    logged = "".join(capfd.readouterr())
    observability.configure("error", "json")
    secret = [code, seen.verifier, seen.state, "correct horse", "dr-b", "9990000018", "Willow"]
    secret += [value for token in (said, again) for name, value in token.items() if name.endswith("_token")]
    assert '"event": "request"' in logged
    assert [one for one in secret if one in logged] == []
    store = region.extensions["services"].store
    with store.begin(reads=True) as tx:
        kept = "".join(
            repr(tx.rows(f"SELECT * FROM {table}"))
            for table in (
                "oauth_code",
                "oauth_family",
                "oauth_refresh",
                "oauth_session",
                "oauth_pending",
                "oauth_user",
                "oauth_revoked",
            )
        )
    assert [one for one in secret[:2] + secret[3:4] + secret[7:] if one in kept] == []


def test_who_logs_in_and_which_app_gets_or_is_refused_tokens_stands_in_the_audit(region: Flask) -> None:
    seen = visit(region)
    seen.authorize()
    seen.sign_in("dr-b", "wrong")
    code = seen.code()
    seen.exchange(code)
    seen.exchange(code)
    store = region.extensions["services"].store
    with store.begin(reads=True) as tx:
        rows = tx.rows("SELECT outcome, client, agent FROM audit WHERE subtype = 'login' ORDER BY seq")
    assert rows == [
        ("4", None, None),
        ("0", "pages", "Practitioner/dr-b"),
        ("0", "app-b", None),
        ("4", "app-b", None),
    ]
