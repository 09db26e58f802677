"""SMART Imaging Access, Argonaut 0.1.0: discovery, the searches, whom they refuse and what they leave out, addresses.

http://fhir.org/argonaut/smart-imaging: discovery; finding studies; retrieving images; authorization.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from app import create_app
from app.access.subject import Subject
from app.config import Settings, SettingsError
from app.demo.archive import instances
from app.demo.studies import studies
from app.interactions import capability_address
from tests.support.archive import PASSWORD, served
from tests.support.region import NHS, Caller, caller, consent, endpoint, episode, organization, patient, settle, study

ARGONAUT = "http://fhir.org/argonaut/smart-imaging/"
REQUIRES = f"{ARGONAUT}StructureDefinition/requires-access-token"
HEAD = next(one for one in instances() if one.study.id == "hazel-head")
UID = HEAD.study_uid
SHAPE = next(one for one in studies() if one["id"] == "hazel-head")
IMAGE = f"/studies/{UID}/series/{HEAD.series_uid}/instances/{HEAD.uid}/rendered"
EVERY = "/ImagingStudy?patient=p1&_include=ImagingStudy:endpoint"


@pytest.fixture(scope="module")
def pacs() -> Iterator[str]:
    with served() as address:
        yield address


@pytest.fixture
def settings(database_url: str, tmp_path: Path, pacs: str) -> Settings:
    password, archives = tmp_path / "password", tmp_path / "archives.toml"
    password.write_text(PASSWORD)
    archives.write_text(
        f'[[archive]]\nendpoint = "archive-rxa"\naddress = "{pacs}/cedarholme-archive/"\n'
        f'username = "registry"\npassword_file = "{password}"\n'
    )
    keys = str(tmp_path / "keys")
    return Settings(database_url=database_url, keys_dir=keys, log_level="error", archives_file=str(archives))


@pytest.fixture
def app(settings: Settings) -> Iterator[Flask]:
    made = create_app(settings)
    yield made
    made.extensions["services"].store.close()


@pytest.fixture
def steward(app: Flask) -> Caller:
    """The region: of p1 one study behind the proxy and one in an archive that clients reach themselves; p2 in nobody's
    care; p3 in B's care, of whom there is no study."""
    made = settle(app)
    behind = endpoint("RXA") | {"address": "http://127.0.0.1:8080/archive/proxy/archive-rxa"}
    shaped = {name: SHAPE[name] for name in ("series", "modality", "numberOfSeries", "numberOfInstances")}
    for resource in (
        behind,
        organization("RXD"),
        endpoint("RXD"),
        study("s1", UID) | shaped,
        study("direct", "1.2.826.0.1.3680043.8.498.2", "RXD"),
        patient("p2", "9990000026"),
        patient("p3", "9990000034"),
        episode("e3", subject="p3"),
        study("of-p2", "1.2.826.0.1.3680043.8.498.3", subject="p2"),
    ):
        answer = made.put(f"/{resource['resourceType']}/{resource['id']}", resource)
        assert answer.status_code in (200, 201), answer.text
    return made


def entries(answer: Any, mode: str = "match") -> dict[str, Any]:
    assert answer.status_code == 200, answer.text
    return {e["fullUrl"]: e["resource"] for e in answer.json.get("entry", ()) if e["search"]["mode"] == mode}


def ids(answer: Any, mode: str = "match") -> list[str]:
    return sorted(one["id"] for one in entries(answer, mode).values())


# Discovery ------------------------------------------------------------------------------------------------------


def test_both_modes_of_imaging_access_are_advertised_for_the_imaging_endpoint(app: Flask) -> None:
    said = app.test_client().get("/fhir/.well-known/smart-configuration").json
    wanted = {
        "smart-imaging-access",
        *(f"{ARGONAUT}capabilities/{mode}" for mode in ("app-launch", "backend-services")),
    }
    assert wanted <= set(said["capabilities"])
    (imaging,) = said["associated_endpoints"]
    assert (imaging["url"], set(imaging["capabilities"])) == ("http://127.0.0.1:8080/fhir", wanted)
    assert {"authorization_code", "client_credentials"} <= set(said["grant_types_supported"])


# Finding studies ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("search", "found"),
    [
        ("patient=p1", ["direct", "s1"]),
        (f"patient.identifier={NHS}|9990000018", ["direct", "s1"]),
        ("patient=p1&_lastUpdated=gt2023-04-17T04:00:00Z", ["direct", "s1"]),
        ("patient=p1&_lastUpdated=gt2199-01-01T00:00:00Z", []),
        (f"patient=p1&identifier=urn:oid:{UID}", ["s1"]),
        (f"patient=p1&identifier=urn:dicom:uid|urn:oid:{UID}", ["s1"]),
        ("patient=p3", []),
    ],
)
def test_the_searches_that_must_work(steward: Caller, treating: Caller, search: str, found: list[str]) -> None:
    answer = treating.get(f"/ImagingStudy?{search}&_include=ImagingStudy:endpoint")
    assert ids(answer) == found
    assert set(ids(answer, "include")) == {{"s1": "archive-rxa", "direct": "archive-rxd"}[id] for id in found}
    form = treating.http.post(
        "/fhir/ImagingStudy/_search",
        data=f"{search}&_include=ImagingStudy:endpoint",
        headers={"Authorization": f"Bearer {treating.token}", "Content-Type": "application/x-www-form-urlencoded"},
    )
    assert ids(form) == found


def test_every_wado_rs_endpoint_says_that_it_wants_the_same_token(steward: Caller, treating: Caller) -> None:
    for one in entries(treating.get(EVERY), "include").values():
        assert (one["connectionType"]["code"], one["extension"]) == (
            "dicom-wado-rs", [{"url": REQUIRES, "valueBoolean": True}],
        )  # fmt: skip
        assert treating.get(f"/Endpoint/{one['id']}").json == one


def test_an_endpoint_that_states_it_itself_or_is_of_another_kind_is_shown_as_it_is(steward: Caller) -> None:
    bearer = {"url": REQUIRES, "valueBoolean": False}
    other = {"url": "https://example.org/extension", "valueString": "kept"}
    for given, shown in (
        ({"extension": [bearer]}, [bearer]),
        ({"extension": [other]}, [other, {"url": REQUIRES, "valueBoolean": True}]),
    ):
        assert steward.put("/Endpoint/archive-rxd", endpoint("RXD") | given).status_code == 200
        assert steward.get("/Endpoint/archive-rxd").json["extension"] == shown
    rest = endpoint("RXD")
    rest["connectionType"] = {**rest["connectionType"], "code": "hl7-fhir-rest"}
    assert steward.put("/Endpoint/archive-rxd", rest).status_code == 200
    assert "extension" not in steward.get("/Endpoint/archive-rxd").json


def test_a_patient_outside_the_caller_s_authority_is_403_and_a_withheld_study_is_left_out(
    steward: Caller, treating: Caller, stranger: Caller
) -> None:
    known = treating.get("/ImagingStudy?patient=p2")
    unknown = treating.get("/ImagingStudy?patient=nobody")
    assert known.status_code == unknown.status_code == 403
    assert known.json["issue"] == unknown.json["issue"]
    assert stranger.get(EVERY).status_code == 403
    nested = {
        "type": "permit",
        "provision": [
            {"type": "deny", "data": [{"meaning": "instance", "reference": {"reference": "ImagingStudy/s1"}}]}
        ],
    }
    assert steward.put("/Consent/c1", consent(provision=nested)).status_code == 201
    partly = treating.get(EVERY)
    assert (ids(partly), ids(partly, "include")) == (["direct"], ["archive-rxd"])
    assert ids(treating.get(f"/ImagingStudy?patient=p1&identifier=urn:oid:{UID}")) == []


@pytest.mark.parametrize(
    "search",
    [
        "patient=p3",
        "patient=p2",
        "patient=nobody",
        f"patient.identifier={NHS}|9990000034",
        "patient=p3&_lastUpdated=gt2023",
    ],
)
def test_an_app_that_asks_for_another_patient_than_its_context_is_refused_and_not_told_none(
    app: Flask, steward: Caller, search: str
) -> None:
    launched = caller(
        app, "app", scope="patient/ImagingStudy.rs patient/Endpoint.rs", role="clinician",
        practitioner="Practitioner/d", patient="Patient/p1",
    )  # fmt: skip
    assert ids(launched.get(EVERY)) == ["direct", "s1"]
    assert ids(launched.get("/ImagingStudy?patient=p1,p3")) == ["direct", "s1"]
    refused = launched.get(f"/ImagingStudy?{search}")
    assert refused.status_code == 403
    assert refused.json["issue"][0]["code"] == "forbidden"


# A slow source --------------------------------------------------------------------------------------------------


def test_a_slow_source_is_rehearsed_by_503_with_retry_after_and_the_same_request_is_answered_then(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = create_app(replace(settings, slow_source=20))
    steward, treating, stranger = settle(app), caller(app), caller(app, ods="RXC")
    store = app.extensions["services"].store
    began = store.clock()
    for after, statuses in ((0, (503, 503)), (13, (503, 503)), (20, (200, 403))):
        monkeypatch.setattr(store, "clock", lambda after=after: began + after * 1_000_000)
        answers = [who.get("/ImagingStudy?patient=p1") for who in (treating, stranger)]
        assert tuple(one.status_code for one in answers) == statuses
        if after < 20:
            assert [one.headers["Retry-After"] for one in answers] == [str(20 - after)] * 2
            assert answers[0].json["issue"] == answers[1].json["issue"]
            assert answers[0].json["issue"][0]["code"] == "transient"
    assert treating.get("/ImagingStudy?patient=p1&_count=1").status_code == 503  # another request is another
    assert steward.get("/Patient").status_code == 200
    store.close()


def test_production_rehearses_nothing() -> None:
    with pytest.raises(SettingsError, match="REGISTRY_SLOW_SOURCE is set"):
        Settings.from_environ({"REGISTRY_MODE": "production", "REGISTRY_SLOW_SOURCE": "5"})


# Capability addresses -------------------------------------------------------------------------------------------


def addressed(who: Caller, search: str = EVERY) -> tuple[dict[str, Any], dict[str, Any]]:
    """The studies by id and the Endpoints by full URL of an answer with capability addresses."""
    answer = who.get(search, Prefer="capability-addresses")
    return {one["id"]: one for one in entries(answer).values()}, entries(answer, "include")


def fetch(who: Caller, address: str, path: str = IMAGE) -> Any:
    below = address.removeprefix("http://127.0.0.1:8080")
    return who.http.get(
        below + path,
        headers={"Accept": "image/jpeg, */*;q=0.1"} | ({"Authorization": f"Bearer {who.token}"} if who.token else {}),
    )


def test_an_address_of_the_requester_s_own_stands_in_the_place_of_one_behind_the_proxy(
    steward: Caller, treating: Caller
) -> None:
    plain = {one["id"]: one for one in entries(treating.get(EVERY)).values()}
    found, included = addressed(treating)
    (reference,) = found["s1"]["endpoint"]
    assert reference["reference"].startswith("urn:uuid:")
    own = included[reference["reference"]]
    assert "id" not in own and "meta" not in own
    assert own["extension"] == [{"url": REQUIRES, "valueBoolean": True}]
    assert own["address"].startswith("http://127.0.0.1:8080/archive/proxy/archive-rxa/-/")
    assert UID not in own["address"]
    assert found["s1"] | {"endpoint": plain["s1"]["endpoint"]} == plain["s1"]
    assert found["direct"] == plain["direct"]
    assert [one["id"] for one in included.values() if "id" in one] == ["archive-rxd"]
    assert steward.get("/ImagingStudy/s1").json["endpoint"] == plain["s1"]["endpoint"]  # nothing of it is stored
    assert steward.get("/Endpoint?_count=50").text.count("/-/") == 0


def test_the_address_opens_its_study_to_its_token_alone(app: Flask, steward: Caller, treating: Caller) -> None:
    found, included = addressed(treating)
    address = included[found["s1"]["endpoint"][0]["reference"]]["address"]
    image = fetch(treating, address)
    assert (image.status_code, image.mimetype) == (200, "image/jpeg"), image.text
    other = caller(app, "app", scope="user/*.rs", role="clinician", practitioner="Practitioner/d")
    again = Caller(treating.http, caller(app).token)  # the same client, another token
    assert fetch(other, address.split("/-/")[0]).status_code == 200
    for who in (other, again, Caller(treating.http, "")):
        assert fetch(who, address).status_code == 403
    assert fetch(treating, address, "/studies/1.2.826.0.1.3680043.8.498.2/metadata").status_code == 403
    assert fetch(treating, address.replace("archive-rxa", "archive-rxd")).status_code == 403
    assert fetch(treating, address[:-3] + "AAA").status_code == 403
    assert fetch(treating, address.split("/-/")[0] + "/-/").status_code == 403
    assert steward.put("/Consent/c1", consent()).status_code == 201
    assert fetch(treating, address).status_code == 403  # each request is decided, whatever the address says


def test_an_address_lasts_an_hour_and_no_longer_than_its_token(app: Flask) -> None:
    services = app.extensions["services"]
    hour = capability_address.LIFE
    for expires, life in ((None, hour), (hour // 2, hour // 2), (2 * hour, hour)):
        who = Subject("epr", "backend", "ods:RXB", token="t", expires=expires)
        sealed = capability_address.issue(services, who, "e", "1.2", 0)
        assert capability_address.check(services, who, sealed, "e", "1.2", life - 1)
        assert not capability_address.check(services, who, sealed, "e", "1.2", life)
        for changed in ({"token": "u"}, {"client_id": "x"}, {"organisation": "ods:RXC"}, {"practitioner": "P"}):
            assert not capability_address.check(services, replace(who, **changed), sealed, "e", "1.2", 0)
        assert not capability_address.check(services, who, sealed, "f", "1.2", 0)
        assert not capability_address.check(services, who, sealed, "e", "1.3", 0)
        assert not capability_address.check(services, who, services.seal(b"page"), "e", "1.2", 0)
