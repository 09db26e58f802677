"""Trusted issuers, each a small real one on loopback: shaped like Keycloak, NHS CIS2 and NHS login.

https://openid.net/specs/openid-connect-core-1_0.html, RFC 9068, RFC 7662. Attacks 2 to 6 and 15 at their tokens.
"""

from __future__ import annotations

import base64
import hmac
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import requests
from flask import Flask
from joserfc.jwk import RSAKey

from app import create_app
from app.config import Settings
from app.smart import trust
from tests.support.issuer import SECRET, Issuer, running
from tests.support.launching import APP, REGISTERED, register, visit
from tests.support.region import Caller, settle

EXAMPLE = Path(trust.__file__).with_name("issuers.example.toml")
DAY = 86_400  # longer than any run of the suite: these times are worked out when the tests are collected
STAFF = "https://fhir.nhs.uk/Id/sds-user-id"
CLINICAL, CLERICAL = "S8000:G8000:R8000", "S8001:G8002:R8008"

KEYCLOAK = """
[[issuer]]
name = "keycloak"
title = "Trust B"
issuer = "{address}"
audience = "imaging-registry"
algorithms = ["RS256"]
jwks_uri = "{address}/jwks"
[issuer.claims]
organisation = "ods_code"
practitioner = "sds_user_id"
role = "realm_access.roles"
client = "azp"
scope = "scope"
purpose = "purpose"
[issuer.systems]
practitioner = "https://fhir.nhs.uk/Id/sds-user-id"
[issuer.roles]
"imaging-clinician" = "clinician"
"imaging-clerk" = "clerical"
[issuer.login]
client_id = "registry-login"
secret_file = "secret"
authorization = "{address}/authorize"
token = "{address}/token"
"""
KEYCLOAK_SAYS: dict[str, Any] = {
    "sub": "7a1",
    "typ": "Bearer",
    "azp": "app-b",
    "ods_code": "RXB",
    "sds_user_id": "555000000001",
    "realm_access": {"roles": ["offline_access", "imaging-clinician"]},
    "scope": "openid user/*.rs",
    "purpose": "TREAT",
}

CIS2 = """
[[issuer]]
name = "cis2"
title = "Care Identity"
issuer = "{address}"
audience = "imaging-registry"
algorithms = ["RS256"]
jwks_uri = "{address}/jwks"
userinfo = "{address}/userinfo"
[issuer.claims]
user = "nhsid_useruid"
organisation = "nhsid_nrbac_roles[person_roleid=selected_roleid].org_code"
role = "nhsid_nrbac_roles[person_roleid=selected_roleid].role_code"
practitioner = "nhsid_useruid"
[issuer.systems]
practitioner = "https://fhir.nhs.uk/Id/sds-user-id"
[issuer.roles]
"S8000:G8000:R8000" = "clinician"
"S8001:G8002:R8008" = "clerical"
[issuer.require]
authentication_assurance_level = ["3"]
[issuer.fixed]
client = "app-b"
purpose = "TREAT"
[issuer.login]
client_id = "registry-login"
secret_file = "secret"
authorization = "{address}/authorize"
token = "{address}/token"
"""
CIS2_SAYS: dict[str, Any] = {"sub": "555000000001", "authentication_assurance_level": "3"}
CIS2_USERINFO: dict[str, Any] = {
    "nhsid_useruid": "555000000001",
    "selected_roleid": "111",
    "nhsid_nrbac_roles": [
        {"person_orgid": "1", "person_roleid": "222", "org_code": "RXC", "role_code": CLERICAL},
        {"person_orgid": "2", "person_roleid": "111", "org_code": "RXB", "role_code": CLINICAL},
    ],
}

NHS_LOGIN = """
[[issuer]]
name = "nhs-login"
title = "NHS login"
issuer = "{address}"
audience = "imaging-registry"
algorithms = ["RS512"]
jwks_uri = "{address}/jwks"
userinfo = "{address}/userinfo"
[issuer.claims]
patient = "nhs_number"
[issuer.systems]
patient = "https://fhir.nhs.uk/Id/nhs-number"
[issuer.require]
identity_proofing_level = ["P9"]
[issuer.fixed]
role = "patient"
client = "app-b"
[issuer.login]
client_id = "registry-login"
key_file = "key.pem"
algorithm = "RS512"
authorization = "{address}/authorize"
token = "{address}/token"
"""
NHS_LOGIN_USERINFO = {"nhs_number": "9990000018", "identity_proofing_level": "P9", "birthdate": "1970-02-03"}

INTROSPECTED = """
[[issuer]]
name = "opaque"
issuer = "{address}"
audience = "imaging-registry"
algorithms = ["RS256"]
[issuer.introspection]
url = "{address}/introspect"
client_id = "registry"
secret_file = "secret"
[issuer.claims]
organisation = "ods_code"
client = "client_id"
scope = "scope"
[issuer.fixed]
role = "system"
purpose = "TREAT"
"""

Open = Callable[..., Flask]


@pytest.fixture
def opened(database_url: str, tmp_path: Path) -> Iterator[Open]:
    """Makes a registry that trusts an issuer, with the small region, its app and its practitioner in it."""
    made: list[Flask] = []

    def make(text: str, issuer: Issuer) -> Flask:
        (tmp_path / "secret").write_text(SECRET)
        if issuer.public_of_client is not None:
            (tmp_path / "key.pem").write_bytes(issuer.public_of_client.as_pem(private=True))
        (tmp_path / "issuers.toml").write_text(text.replace("{address}", issuer.address))
        settings = Settings(
            database_url=database_url,
            keys_dir=str(tmp_path / "keys"),
            log_level="error",
            issuers_file=str(tmp_path / "issuers.toml"),
        )
        app = create_app(settings)
        made.append(app)
        steward = settle(app)
        person = {
            "resourceType": "Practitioner",
            "id": "dr-b",
            "identifier": [{"system": STAFF, "value": "555000000001"}],
        }
        assert steward.put("/Practitioner/dr-b", person).status_code == 201
        register(app, APP)
        return app

    yield make
    for app in made:
        app.extensions["services"].store.close()


@pytest.fixture
def keycloak() -> Iterator[Issuer]:
    with running(claims=dict(KEYCLOAK_SAYS)) as issuer:
        yield issuer


@pytest.fixture
def cis2() -> Iterator[Issuer]:
    with running(claims=dict(CIS2_SAYS), userinfo=dict(CIS2_USERINFO)) as issuer:
        yield issuer


@pytest.fixture
def nhs_login() -> Iterator[Issuer]:
    key = RSAKey.generate_key(2048)
    with running(
        claims={"sub": "p-1"}, userinfo=dict(NHS_LOGIN_USERINFO), algorithm="RS512", public_of_client=key
    ) as issuer:
        yield issuer


def part(value: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


def decoded(token: str) -> dict[str, Any]:
    body = token.split(".")[1]
    return dict(json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4))))


def status(app: Flask, token: str, path: str = "/ImagingStudy/s1") -> int:
    return Caller(app.test_client(), token).get(path).status_code


# Keycloak --------------------------------------------------------------------------------------------------------------


def test_a_token_of_a_trusts_keycloak_opens_what_its_person_may_see(opened: Open, keycloak: Issuer) -> None:
    app = opened(KEYCLOAK, keycloak)
    assert status(app, keycloak.access()) == 200
    assert Caller(app.test_client(), keycloak.access()).ids("/ImagingStudy") == ["s1"]
    subject = app.extensions["issuers"].subject(keycloak.access())
    assert (subject.organisation, subject.role, subject.practitioner) == ("ods:RXB", "clinician", "Practitioner/dr-b")
    assert (subject.scopes, subject.purpose, subject.client_id) == (("openid", "user/*.rs"), "TREAT", "app-b")


@pytest.mark.attack(5)
@pytest.mark.parametrize(
    ("what", "changed"),
    [
        ("no role", {"realm_access": {"roles": []}}),
        ("no role that is known here", {"realm_access": {"roles": ["offline_access"]}}),
        ("two roles, none selected", {"realm_access": {"roles": ["imaging-clinician", "imaging-clerk"]}}),
        ("a role of another shape", {"realm_access": "imaging-clinician"}),
        ("no organisation", {"ods_code": None}),
        ("two organisations", {"ods_code": ["RXB", "RXA"]}),
        ("an organisation that is no code", {"ods_code": "RXB' OR 1=1"}),
        ("an organisation that is not known", {"ods_code": "RXZ"}),
        ("attack 15: an organisation that its client is not registered for", {"ods_code": "RXC"}),
        ("attack 15: another trust that exists", {"ods_code": "RXA"}),
        ("a client that is not registered", {"azp": "somebody"}),
        ("no client", {"azp": None}),
        ("a practitioner nobody knows", {"sds_user_id": "555999999999"}),
        ("attack 5: another audience", {"aud": "https://elsewhere.example"}),
        ("attack 5: no audience", {"aud": None}),
        ("attack 5: an id token", {"typ": "ID"}),
        ("attack 5: an id token by its nonce", {"nonce": "n"}),
        ("attack 5: another issuer", {"iss": "https://elsewhere.example"}),
        ("attack 6: expired", {"exp": int(time.time()) - 120}),
        ("attack 6: no end", {"exp": None}),
        ("attack 6: the year 9999", {"exp": 253_370_764_800}),
        ("attack 6: not valid yet", {"nbf": int(time.time()) + DAY}),
        ("attack 6: issued in the future", {"iat": int(time.time()) + DAY}),
        ("an end that is a text", {"exp": "tomorrow"}),
    ],
)
def test_a_token_of_an_issuer_that_is_not_quite_right_opens_nothing(
    opened: Open, keycloak: Issuer, what: str, changed: dict[str, Any]
) -> None:
    app = opened(KEYCLOAK, keycloak)
    assert status(app, keycloak.access()) == 200
    assert status(app, keycloak.access(**changed)) == 401, what


def test_a_site_is_a_part_of_its_trust_for_the_client_too(opened: Open, keycloak: Issuer) -> None:
    app = opened(KEYCLOAK, keycloak)
    assert status(app, keycloak.access(ods_code="RXB01")) == 200
    assert status(app, keycloak.access(ods_code="rxb")) == 200  # one canonical spelling


@pytest.mark.attack(15)
def test_an_issuer_speaks_only_for_the_organisations_that_it_is_trusted_for(opened: Open, keycloak: Issuer) -> None:
    app = opened(KEYCLOAK.replace("[issuer.claims]", 'organisations = ["RXA"]\n[issuer.claims]'), keycloak)
    assert status(app, keycloak.access()) == 401


def test_scopes_are_what_the_token_says_within_what_the_client_is_registered_for(
    opened: Open, keycloak: Issuer
) -> None:
    app = opened(KEYCLOAK, keycloak)
    assert status(app, keycloak.access(scope="user/Patient.rs")) == 403
    assert status(app, keycloak.access(scope="system/*.cruds")) == 403
    assert status(app, keycloak.access(scope="patient/*.rs")) == 403  # nobody's record is open
    register(app, replace(APP, scope="user/Patient.rs"))
    assert status(app, keycloak.access(scope="user/*.rs", jti="fresh")) == 403


def test_a_client_that_is_disabled_ends_the_issuers_tokens_at_the_next_request(opened: Open, keycloak: Issuer) -> None:
    app = opened(KEYCLOAK, keycloak)
    token = keycloak.access()
    assert status(app, token) == 200
    register(app, replace(APP, disabled=True))
    assert status(app, token) == 401


@pytest.mark.attack(3)
@pytest.mark.parametrize("way", ["jku", "x5u", "jwk", "x5c", "kid that is an address"])
def test_attack_3_a_key_that_a_token_brings_is_nobodys_and_no_address_in_it_is_called(
    opened: Open, keycloak: Issuer, way: str
) -> None:
    app = opened(KEYCLOAK, keycloak)
    with running() as attacker:
        own = attacker.keys[-1]
        header: dict[str, Any] = {
            "jku": {"jku": f"{attacker.address}/jwks"},
            "x5u": {"x5u": f"{attacker.address}/jwks"},
            "jwk": {"jwk": own.as_dict(private=False)},
            "x5c": {"x5c": ["MIIB"]},
            "kid that is an address": {"kid": f"{attacker.address}/jwks"},
        }[way]
        for kid in (own.kid, keycloak.keys[-1].kid):
            forged = keycloak.sign({"kid": kid} | header, own, aud="imaging-registry")
            assert status(app, forged) == 401
        assert not attacker.asked
    honest = keycloak.sign(header if way != "kid that is an address" else None, aud="imaging-registry")
    assert status(app, honest) in (200, 401)  # ignored, or refused for its shape; never followed


@pytest.mark.attack(2)
def test_attack_2_no_signature_and_the_public_key_as_a_secret_prove_nothing(opened: Open, keycloak: Issuer) -> None:
    app = opened(KEYCLOAK, keycloak)
    public = keycloak.keys[-1].as_pem(private=False)
    for kid in (keycloak.keys[-1].kid, "unknown"):
        head, body = (part(one) for one in ({"alg": "HS256", "kid": kid}, decoded(keycloak.access())))
        mac = base64.urlsafe_b64encode(hmac.digest(public, f"{head}.{body}".encode(), "sha256")).decode().rstrip("=")
        assert status(app, f"{head}.{body}.{mac}") == 401
    head, body, _ = keycloak.access().split(".")
    none = "eyJhbGciOiJub25lIn0"
    assert status(app, f"{none}.{body}.") == 401
    assert status(app, f"{head}.{body}.") == 401


def test_keys_are_fetched_once_and_for_an_unknown_one_at_most_once_a_minute(opened: Open, keycloak: Issuer) -> None:
    app = opened(KEYCLOAK, keycloak)
    now = [1000.0]
    app.extensions["issuers"].fetched.clock = lambda: now[0]
    assert status(app, keycloak.access()) == 200
    assert status(app, keycloak.access(jti="2")) == 200
    assert keycloak.asked["/jwks"] == 1
    keycloak.rotate()
    assert status(app, keycloak.access()) == 401  # the minute is not over
    assert keycloak.asked["/jwks"] == 1
    now[0] += 61
    assert status(app, keycloak.access()) == 200
    assert keycloak.asked["/jwks"] == 2
    stranger = RSAKey.generate_key(2048, parameters={"kid": "stranger"})
    for number in range(5):
        assert status(app, keycloak.sign(None, stranger, aud="imaging-registry", jti=str(number))) == 401
    assert keycloak.asked["/jwks"] == 2
    now[0] += 61
    assert status(app, keycloak.sign(None, stranger, aud="imaging-registry", jti="late")) == 401
    assert keycloak.asked["/jwks"] == 3


# CIS2 ------------------------------------------------------------------------------------------------------------------


def test_of_several_roles_in_cis2s_userinfo_the_selected_one_counts_with_its_own_organisation(
    opened: Open, cis2: Issuer
) -> None:
    app = opened(CIS2, cis2)
    subject = app.extensions["issuers"].subject(cis2.access())
    assert (subject.organisation, subject.role, subject.practitioner) == ("ods:RXB", "clinician", "Practitioner/dr-b")
    assert status(app, cis2.access()) == 200


@pytest.mark.parametrize(
    ("what", "changed"),
    [
        ("none selected", {"selected_roleid": None}),
        ("one selected that is not among them", {"selected_roleid": "333"}),
        ("a list selected", {"selected_roleid": ["111"]}),
        ("no roles", {"nhsid_nrbac_roles": []}),
        ("roles of another shape", {"nhsid_nrbac_roles": {"person_roleid": "111", "org_code": "RXB"}}),
        ("roles that are texts", {"nhsid_nrbac_roles": ["111"]}),
        ("the same role twice", {"nhsid_nrbac_roles": CIS2_USERINFO["nhsid_nrbac_roles"][1:] * 2}),
        ("no organisation in the entry", {"nhsid_nrbac_roles": [{"person_roleid": "111", "role_code": CLINICAL}]}),
        (
            "a role without a meaning here",
            {"nhsid_nrbac_roles": [{"person_roleid": "111", "org_code": "RXB", "role_code": "S0:G0:R0"}]},
        ),
        ("userinfo of somebody else", {"sub": "555000000002"}),
        ("the other role selected, at a trust of which the client is not", {"selected_roleid": "222"}),
    ],
)
def test_a_cis2_person_without_one_good_selected_role_is_refused(
    opened: Open, cis2: Issuer, what: str, changed: dict[str, Any]
) -> None:
    cis2.userinfo |= changed
    app = opened(CIS2, cis2)
    answer = Caller(app.test_client(), cis2.access()).get("/ImagingStudy/s1")
    assert answer.status_code == 401, what
    assert answer.json["issue"][0]["code"] == "login"


def test_an_assurance_that_is_too_low_is_refused(opened: Open, cis2: Issuer) -> None:
    app = opened(CIS2, cis2)
    assert status(app, cis2.access(authentication_assurance_level="1")) == 401


# NHS login ---------------------------------------------------------------------------------------------------------------


def test_an_nhs_login_of_p9_is_the_patient_with_that_number_and_sees_nobody_else(
    opened: Open, nhs_login: Issuer
) -> None:
    app = opened(NHS_LOGIN, nhs_login)
    subject = app.extensions["issuers"].subject(nhs_login.access())
    assert (subject.role, subject.patient, subject.practitioner) == ("patient", "Patient/p1", None)
    assert Caller(app.test_client(), nhs_login.access()).get("/Patient?_id=p2").status_code == 200


@pytest.mark.parametrize(
    "changed", [{"identity_proofing_level": "P5"}, {"identity_proofing_level": None}, {"nhs_number": "9990000026"}, {"nhs_number": None}]
)  # fmt: skip
def test_an_nhs_login_of_less_or_of_a_number_nobody_has_is_refused(
    opened: Open, nhs_login: Issuer, changed: dict[str, Any]
) -> None:
    nhs_login.userinfo |= changed
    assert status(opened(NHS_LOGIN, nhs_login), nhs_login.access()) == 401


# Introspection -------------------------------------------------------------------------------------------------------------


def test_an_opaque_token_is_asked_about_at_its_issuer(opened: Open, keycloak: Issuer) -> None:
    app = opened(INTROSPECTED, keycloak)
    register(app, replace(APP, id="epr", kind="backend", scope="system/*.rs"))
    said = {
        "active": True,
        "client_id": "epr",
        "aud": "imaging-registry",
        "exp": int(time.time()) + 300,
        "ods_code": "RXB",
        "scope": "system/ImagingStudy.rs",
    }
    keycloak.opaque = {
        "good": said,
        "stale": said | {"exp": 1},
        "elsewhere": said | {"aud": "x"},
        "of-c": said | {"ods_code": "RXC"},
        "of-an-app": said | {"client_id": "app-b"},
    }
    assert status(app, "good") == 200
    assert status(app, "good") == 200
    assert keycloak.asked["/introspect"] == 1
    assert [status(app, token) for token in ("unknown", "stale", "elsewhere", "of-c", "of-an-app")] == [401] * 5


# Logging in there ------------------------------------------------------------------------------------------------------------


def through(app: Flask, seen: Any) -> Any:
    """From the sign-in page to the issuer and back, as a browser goes."""
    link = seen.answer.text.split('href="/auth/elsewhere/')[1].split('"')[0].replace("&amp;", "&")
    away = seen.http.get(f"/auth/elsewhere/{link}")
    assert away.status_code == 303
    back = requests.get(away.headers["Location"], allow_redirects=False, timeout=5)
    return seen._see(seen.http.get(back.headers["Location"].removeprefix("http://127.0.0.1:8080")))


@pytest.mark.parametrize(("kind", "text"), [("keycloak", KEYCLOAK), ("cis2", CIS2)])
def test_staff_log_in_at_their_issuer_and_launch_an_app(
    opened: Open, request: pytest.FixtureRequest, kind: str, text: str
) -> None:
    issuer = request.getfixturevalue(kind)
    app = opened(text, issuer)
    register(app, replace(APP, scope=REGISTERED))
    seen = visit(app)
    seen.authorize()
    assert seen.page == "Sign in"
    through(app, seen)
    assert seen.page == "Which patient?", seen.answer.text
    seen.choose(patient="p1")
    seen.allow()
    said = seen.exchange(seen.returned()["code"]).json
    assert said["patient"] == "p1"
    subject = app.extensions["tokens"].subject(said["access_token"])
    assert (subject.organisation, subject.role, subject.practitioner) == ("ods:RXB", "clinician", "Practitioner/dr-b")
    assert status(app, said["access_token"]) == 200


def test_a_patient_logs_in_at_nhs_login_which_is_proved_to_by_a_signed_assertion(
    opened: Open, nhs_login: Issuer
) -> None:
    app = opened(NHS_LOGIN, nhs_login)
    seen = visit(app)
    seen.authorize()
    through(app, seen)
    assert seen.page == "Allow App of B to do this?", seen.answer.text
    seen.allow()
    assert seen.exchange(seen.returned()["code"]).json["patient"] == "p1"


def test_who_has_no_role_is_not_let_in_and_no_app_is_told(opened: Open, cis2: Issuer) -> None:
    cis2.userinfo["selected_roleid"] = "333"
    app = opened(CIS2, cis2)
    seen = visit(app)
    seen.authorize()
    answer = through(app, seen)
    assert answer.status_code == 400 and "no one role that is known here" in answer.text
    seen.authorize()
    assert seen.page == "Sign in"


@pytest.mark.parametrize("state", ["", "forged"])
def test_an_answer_that_was_not_asked_for_is_not_taken(opened: Open, keycloak: Issuer, state: str) -> None:
    app = opened(KEYCLOAK, keycloak)
    answer = app.test_client().get(f"/auth/callback?code=x&state={state}")
    assert answer.status_code == 400 and "This page has expired" in answer.text


def test_an_id_token_of_another_log_in_is_not_taken(opened: Open, keycloak: Issuer) -> None:
    app = opened(KEYCLOAK, keycloak)
    keycloak.nonce = "another"
    seen = visit(app)
    seen.authorize()
    answer = through(app, seen)
    assert answer.status_code == 400 and "another log-in" in answer.text


# The file ----------------------------------------------------------------------------------------------------------------------


def test_the_worked_examples_can_be_used_as_they_stand(tmp_path: Path) -> None:
    for name in ("trust-b.secret", "cis2.secret", "nhs-login.pem"):
        (tmp_path / name).write_text("secret")
    found = trust.load(EXAMPLE.read_text(), tmp_path, plain_http=False)
    assert [one.name for one in found] == ["trust-b", "cis2", "nhs-login"]
    assert all(one.login is not None for one in found)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (('issuer = "https', 'issuer = "http'), "no address of a kind that is trusted"),
        (('algorithms = ["RS256"]', 'algorithms = ["HS256"]'), "algorithms is not a list of"),
        (('algorithms = ["RS256"]', 'algorithms = ["none"]'), "algorithms is not a list of"),
        (('audience = "imaging-registry"', 'audience = "registry-login"'), "an id token would open the registry"),
        (('role = "realm_access.roles"', 'rôle = "x"'), "cannot be read"),
        (('role = "realm_access.roles"', 'rule = "x"'), "claims.rule is not known"),
        (('role = "realm_access.roles"', 'role = "a[b].c"'), "claims.role is no path"),
        (('"imaging-clinician" = "clinician"', '"imaging-clinician" = "admin"'), "one that is not known"),
        (('client = "azp"', ""), "nothing says the client"),
        (('secret_file = "trust-b.secret"', 'secret_file = "missing"'), "names no file that can be read"),
        (("[[issuer]]", "[issuers]"), "the issuers file"),
        (('title = "Trust B staff account"', "surprise = 1"), "'surprise' is not known"),
    ],
)
def test_a_file_that_is_wrong_says_where_and_what_was_expected(
    tmp_path: Path, change: tuple[str, str], says: str
) -> None:
    (tmp_path / "trust-b.secret").write_text("secret")
    first = EXAMPLE.read_text().split("# NHS CIS2")[0]
    assert change[0] in first
    with pytest.raises(trust.TrustError) as caught:
        trust.load(first.replace(*change, 1), tmp_path, plain_http=False)
    assert says in str(caught.value)
