"""SMART App Launch, standalone, from the app's request to what the tokens open. HL7 SMART App Launch 2.2.

https://hl7.org/fhir/smart-app-launch/app-launch.html, scopes-and-launch-context.html, conformance.html
"""

from __future__ import annotations

from dataclasses import replace

import pytest
from flask import Flask
from joserfc import jwt
from joserfc.jwk import KeySet
from werkzeug.security import generate_password_hash

from tests.support.launching import APP, AUD, CLINICIAN, register, visit
from tests.support.region import Caller, settle


@pytest.fixture
def region(app: Flask) -> Flask:
    settle(app)
    register(app, APP, CLINICIAN)
    return app


def fetch(app: Flask, token: str, path: str) -> int:
    return Caller(app.test_client(), token).get(path).status_code


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.requirement(
    "SMART 48",
    "SMART 49",
    "SMART 53",
    "SMART 56",
    "SMART 57",
    "SMART 59",
    "SMART 73",
    "SMART 74",
    "SMART 75",
    "SMART 76",
    "SMART 78",
    "SMART 81",
    "SMART 83",
    "SMART 84",
    "SMART 85",
    "SMART 86",
    "SMART 87",
    "SMART 88",
    "SMART 144",
    "SMART 149",
    "SMART 164",
    "SMART 167",
    "SMART 168",
    "SMART 169",
    "SMART 170",
    "SMART 173",
    "SMART 353",
    "SMART 354",
    "SMART 355",
    "SMART 359",
    "SMART 363",
    "SMART 365",
)
def test_a_person_logs_in_chooses_a_patient_allows_the_app_and_it_reads(region: Flask, method: str) -> None:
    seen = visit(region)
    seen.authorize(method, nonce="n-1")
    assert seen.page == "Sign in" and "App of B" in seen.answer.text
    seen.sign_in()
    assert seen.page == "Which patient?" and "Willow Demo" in seen.answer.text
    seen.choose(patient="p1")
    assert seen.page == "Allow App of B to do this?" and "999\u00a0000\u00a00018" in seen.answer.text
    seen.allow()
    told = seen.returned()
    assert told == {"code": told["code"], "state": seen.state}
    answer = seen.exchange(told["code"])
    said = answer.json
    assert answer.headers["Cache-Control"] == "no-store" and answer.headers["Pragma"] == "no-cache"
    assert {name: said[name] for name in said if not name.endswith("_token")} == {
        "token_type": "Bearer",
        "expires_in": 3600,
        "scope": "launch/patient openid fhirUser offline_access patient/*.rs",
        "patient": "p1",
        "need_patient_banner": True,
    }
    token = said["access_token"]
    assert [fetch(region, token, path) for path in ("/Patient/p1", "/ImagingStudy/s1", "/ImagingStudy")] == [200] * 3
    assert Caller(region.test_client(), token).ids("/ImagingStudy") == ["s1"]


@pytest.mark.requirement(
    "SMART 80",
    "SMART 198",
    "SMART 200",
    "SMART 203",
    "SMART 205",
    "SMART 206",
    "SMART 207",
    "SMART 209",
    "SMART 210",
    "SMART 214",
    "SMART 358",
)
def test_the_id_token_says_who_it_is_and_is_signed_by_a_published_key(region: Flask) -> None:
    said = visit(region).tokens(nonce="n-1")
    keys = KeySet.import_key_set(region.test_client().get("/auth/jwks").json)
    found = jwt.decode(said["id_token"], keys, algorithms=["RS256"])
    claims = dict(found.claims)
    assert found.header["alg"] == "RS256"
    assert claims.pop("exp") - claims.pop("iat") == 3600 and claims.pop("auth_time")
    assert claims == {
        "iss": "http://127.0.0.1:8080",
        "aud": "app-b",
        "sub": "dr-b",
        "nonce": "n-1",
        "fhirUser": f"{AUD}/Practitioner/dr-b",
    }
    asked = {"Authorization": f"Bearer {said['access_token']}"}
    userinfo = region.test_client().get("/auth/userinfo", headers=asked)
    assert userinfo.json == {"sub": "dr-b", "fhirUser": f"{AUD}/Practitioner/dr-b"}
    assert region.test_client().get("/auth/userinfo").status_code == 401


@pytest.mark.requirement("SMART 89")
def test_without_openid_there_is_no_id_token_and_no_userinfo_and_without_offline_access_nothing_to_refresh(
    region: Flask,
) -> None:
    said = visit(region, scope="launch/patient patient/ImagingStudy.rs").tokens()
    assert said.keys() == {"access_token", "token_type", "expires_in", "scope", "patient", "need_patient_banner"}
    asked = {"Authorization": f"Bearer {said['access_token']}"}
    answer = region.test_client().get("/auth/userinfo", headers=asked)
    assert (answer.status_code, answer.json) == (403, {"error": "insufficient_scope"})


@pytest.mark.requirement("SMART 54")
def test_who_does_not_allow_it_sends_the_app_back_with_that_and_no_code(region: Flask) -> None:
    seen = visit(region)
    seen.authorize()
    seen.sign_in()
    seen.choose(patient="p1")
    seen.submit(decision="deny")
    told = seen.returned()
    assert (told["error"], told["state"], "code" in told) == ("access_denied", seen.state, False)


def test_who_is_logged_in_already_is_not_asked_again_unless_the_app_wants_it(region: Flask) -> None:
    seen = visit(region)
    seen.tokens()
    seen.authorize()
    assert seen.page == "Which patient?"
    seen.authorize(prompt="login")
    assert seen.page == "Sign in"
    seen.sign_in()
    assert seen.page == "Which patient?"
    seen.authorize(max_age="0")
    assert seen.page in ("Sign in", "Which patient?")  # the same second is no age
    seen.authorize(prompt="none")
    assert seen.returned()["error"] == "interaction_required"
    fresh = visit(region)
    fresh.authorize(prompt="none")
    assert fresh.returned()["error"] == "login_required"


@pytest.mark.requirement("SMART 140", "SMART 368")
def test_a_user_scope_needs_no_patient_and_reaches_whom_the_person_may_see(region: Flask) -> None:
    seen = visit(region, scope="user/ImagingStudy.rs")
    said = seen.tokens()
    assert "patient" not in said
    assert fetch(region, said["access_token"], "/ImagingStudy/s1") == 200
    assert fetch(region, said["access_token"], "/Patient/p1") == 403


@pytest.mark.requirement("SMART 79", "SMART 145")
def test_what_is_given_is_what_the_app_is_registered_for(region: Flask) -> None:
    register(region, replace(APP, scope="launch/patient patient/ImagingStudy.rs"))
    said = visit(region, scope="launch/patient openid patient/*.cruds user/*.rs").tokens()
    assert said["scope"] == "launch/patient patient/ImagingStudy.rs"


@pytest.mark.requirement("SMART 154", "SMART 172", "SMART 177", "SMART 178", "SMART 179", "SMART 189")
def test_a_study_in_context_is_chosen_among_those_that_may_be_seen(region: Flask) -> None:
    seen = visit(region, scope="launch/patient launch/imagingstudy patient/ImagingStudy.rs")
    seen.authorize()
    seen.sign_in()
    seen.choose(patient="p1")
    assert seen.page == "Which study?"
    assert seen.choose(study="unknown").status_code == 400
    seen.choose(study="s1")
    seen.allow()
    said = seen.exchange(seen.returned()["code"]).json
    assert said["fhirContext"] == [{"reference": "ImagingStudy/s1"}]


def test_a_patient_outside_the_organisations_care_is_neither_listed_nor_chosen(region: Flask) -> None:
    stranger = replace(CLINICIAN, id="dr-c", organisation="ods:RXC", practitioner="Practitioner/dr-c")
    register(region, stranger, replace(APP, organisation="ods:RXC"))
    seen = visit(region)
    seen.authorize()
    seen.sign_in("dr-c")
    assert "No patient of that name or number" in seen.answer.text and "Willow" not in seen.answer.text
    found = seen.http.get("/auth/patient", query_string={"request": seen.at.split("=")[-1], "name": "999 000 0018"})
    assert "Willow" not in found.text
    answer = seen.http.post("/auth/patient", data=seen.fields() | {"patient": "p1"})
    assert answer.status_code == 400


def test_patients_are_found_by_name_and_by_nhs_number(region: Flask) -> None:
    seen = visit(region)
    seen.authorize()
    seen.sign_in()
    handle = seen.at.split("=")[-1]
    for name, there in (
        ("willow", True),
        ("9990000018", True),
        ("999 000 0018", True),
        ("oak", False),
        ("a,b|c\\", False),
    ):
        page = seen.http.get("/auth/patient", query_string={"request": handle, "name": name})
        assert page.status_code == 200 and ("Willow Demo" in page.text) is there, name


@pytest.mark.requirement("SMART 165", "SMART 348")
def test_someone_who_is_a_patient_opens_their_own_record_and_is_not_asked_which(region: Flask) -> None:
    own = replace(CLINICIAN, id="willow", role="patient", organisation=None, practitioner=None, patient="Patient/p1")
    register(region, own)
    seen = visit(region)
    seen.authorize()
    seen.sign_in("willow")
    assert seen.page == "Allow App of B to do this?"
    seen.allow()
    said = seen.exchange(seen.returned()["code"]).json
    assert said["patient"] == "p1"
    asked = {"Authorization": f"Bearer {said['access_token']}"}
    assert region.test_client().get("/auth/userinfo", headers=asked).json["fhirUser"] == f"{AUD}/Patient/p1"
    assert fetch(region, said["access_token"], "/ImagingStudy/s1") in (403, 404)  # the patients' channel is off


@pytest.mark.parametrize("prove", ["client_secret_basic", "client_secret_post"])
@pytest.mark.requirement("SMART 356")
def test_a_confidential_app_proves_itself_with_its_secret(region: Flask, prove: str) -> None:
    secret = generate_password_hash("s3cret")
    register(region, replace(APP, secret_hash=secret))
    seen = visit(region)
    code = seen.code()
    assert seen.exchange(code).status_code == 401
    basic = prove == "client_secret_basic"
    form = {
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": APP.redirect_uris,
        "code_verifier": seen.verifier,
    }
    if basic:
        answer = seen.http.post("/auth/token", data=form, auth=("app-b", "s3cret"))
    else:
        answer = seen.http.post("/auth/token", data=form | {"client_id": "app-b", "client_secret": "s3cret"})
    assert answer.status_code == 200, answer.text


@pytest.mark.requirement(
    "SMART 101",
    "SMART 104",
    "SMART 109",
    "SMART 110",
    "SMART 111",
    "SMART 112",
    "SMART 113",
    "SMART 114",
    "SMART 115",
    "SMART 116",
    "SMART 118",
)
def test_a_refreshed_token_opens_the_same_and_may_be_narrower(region: Flask) -> None:
    seen = visit(region)
    first = seen.tokens()
    second = seen.refresh(first["refresh_token"], scope="patient/ImagingStudy.rs")
    assert second.status_code == 200, second.text
    assert second.json["scope"] == "patient/ImagingStudy.rs" and second.json["patient"] == "p1"
    assert fetch(region, second.json["access_token"], "/ImagingStudy/s1") == 200
    assert fetch(region, second.json["access_token"], "/Patient/p1") == 403
    third = seen.refresh(second.json["refresh_token"]).json
    assert third["scope"] == first["scope"]  # the refresh token itself was not narrowed
    assert fetch(region, third["access_token"], "/Patient/p1") == 200


@pytest.mark.requirement("SMART 100", "SMART 366")
def test_online_access_ends_with_the_session(region: Flask) -> None:
    seen = visit(region, scope="launch/patient online_access patient/*.rs")
    said = seen.tokens()
    renewed = seen.refresh(said["refresh_token"])
    assert renewed.status_code == 200
    seen.authorize()
    form = seen.answer.text.split("/auth/sign-out")[1]
    token = form.split('value="')[1].split('"')[0]
    assert seen.http.post("/auth/sign-out", data={"csrf_token": token}).status_code == 303
    assert seen.refresh(renewed.json["refresh_token"]).json["error"] == "invalid_grant"


@pytest.mark.requirement(
    "SMART 30",
    "SMART 126",
    "SMART 285",
    "SMART 286",
    "SMART 287",
    "SMART 288",
    "SMART 289",
    "SMART 346",
    "SMART 350",
    "SMART 372",
    "SMART 373",
    "SMART 378",
    "SMART 381",
    "SMART 382",
    "SMART 383",
    "SMART 384",
    "SMART 385",
    "SMART 386",
    "SMART 389",
    "SMART 391",
    "SMART 392",
    "SMART 393",
    "SMART 394",
    "SMART 439",
)
def test_what_the_server_says_it_can_do_names_addresses_that_are_there(region: Flask) -> None:
    http = region.test_client()
    said = http.get("/fhir/.well-known/smart-configuration").json
    for name in (
        "authorization_endpoint", "token_endpoint", "jwks_uri", "introspection_endpoint", "revocation_endpoint",
        "userinfo_endpoint",
    ):  # fmt: skip
        assert http.open(said[name].removeprefix("http://127.0.0.1:8080"), method="OPTIONS").status_code == 200, name
    assert said["code_challenge_methods_supported"] == ["S256"]
    assert "plain" not in said["code_challenge_methods_supported"]
    assert set(said["capabilities"]) >= {
        "launch-ehr", "launch-standalone", "authorize-post", "client-public", "client-confidential-symmetric",
        "client-confidential-asymmetric", "sso-openid-connect", "context-ehr-patient", "context-ehr-encounter",
        "context-standalone-patient", "permission-offline", "permission-patient", "permission-user", "permission-v1",
        "permission-v2", "smart-imaging-access",
    }  # fmt: skip
    openid = http.get("/.well-known/openid-configuration").json
    assert openid["issuer"] == said["issuer"] and openid["id_token_signing_alg_values_supported"] == ["RS256"]
