"""Attacks 69 to 71 and 76 to 78: work of others, what is said without a patient in it, bombs, injection, smuggling."""

from __future__ import annotations

import gzip
import json
import re
import socket
from contextlib import suppress
from itertools import cycle
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from app import create_app
from app.config import Settings
from app.fhir.registry import TYPES
from app.storage import schema
from tests.support.region import Caller, caller, consent, patient, settle, study
from tests.support.server import Running

EVIL = (
    "' OR '1'='1", "1; DROP TABLE resource--", "\" OR \"\"=\"", "%' OR 1=1 --", "\\'; SELECT pg_sleep(9); --", "$$", "{{7*7}}",
    "${jndi:ldap://x}", "s1' UNION SELECT body FROM audit --", "%00", "_%", "0x31", "1e308", "é'", "\u202e", "(SELECT 1)",
)  # fmt: skip


@pytest.mark.attack(69, 70)
def test_there_is_no_export_over_http_and_nothing_is_answered_later(steward: Caller, treating: Caller) -> None:
    """No job of anybody's can be polled, guessed or fetched, for no request leaves one behind."""
    for who in (steward, treating):
        for path in ("/$export", "/Patient/$export", "/Group/g/$export", "/ImagingStudy/$export", "/$export-poll-status?job=1", "/Patient/p1/$everything/job/1"):  # fmt: skip
            for method in ("GET", "POST"):
                answer = who.send(method, path, Prefer="respond-async", Accept="application/fhir+json")
                assert answer.status_code in (400, 404, 405, 501), (path, answer.status_code)
                assert "Content-Location" not in answer.headers
        for path in ("/ImagingStudy?patient=p1", "/ImagingStudy/s1", "/Patient/p1/$everything"):
            now, plain = who.get(path, Prefer="respond-async"), who.get(path)
            assert now.status_code == plain.status_code
            assert "Content-Location" not in now.headers and now.status_code != 202


@pytest.mark.attack(71)
def test_what_is_open_to_everybody_is_the_same_whatever_is_held(app: Flask) -> None:
    """Metadata, discovery and health say nothing of patients, and so nothing that changes with them."""
    http = app.test_client()
    paths = ("/fhir/metadata", "/fhir/.well-known/smart-configuration", "/health/live", "/health/ready", "/")

    def said() -> list[bytes]:
        """Without the token of the forms, which holds the time at which it was made."""
        return [re.sub(rb'name="csrf_token" value="[^"]*"', b"", http.get(path).data) for path in paths]

    before = said()
    steward = settle(app)
    steward.put("/Consent/c1", consent())
    assert said() == before


@pytest.mark.attack(71)
def test_checking_a_resource_tells_nothing_of_what_is_held(steward: Caller, treating: Caller, stranger: Caller) -> None:
    """$validate of a study with the UID, the id and the references of a withheld one is as of one that never was."""
    steward.put("/Consent/c1", consent())
    held = study()
    never = json.loads(json.dumps(held).replace('"s1"', '"s7"').replace("8.498.1", "8.498.7"))
    for who in (treating, stranger):
        said = [
            who.post(f"/ImagingStudy/$validate{rest}", one) for one in (held, never) for rest in ("", "?mode=create")
        ]
        texts = [(one.status_code, one.text.replace("s7", "s1").replace("8.498.7", "8.498.1")) for one in said]
        assert texts[:2] == texts[2:]


@pytest.mark.attack(76)
def test_bombs_are_refused_before_they_are_unpacked(treating: Caller, steward: Caller, tmp_path: Path) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("canary-of-a-file")
    deep = '{"resourceType":"Patient","extension":' + '[{"extension":' * 5_000 + "[]" + "}]" * 5_000 + "}"
    entities = "".join(f'<!ENTITY l{n + 1} "{f"&l{n};" * 10}">' for n in range(9))
    xml = "application/fhir+xml"
    bombs: list[tuple[Any, str]] = [
        (deep, "application/fhir+json"),
        ("[" * 100_000, "application/fhir+json"),
        ('{"resourceType":"Patient","id":' + "9" * 100_000 + "}", "application/fhir+json"),
        ('{"resourceType":"Patient","birthDate":"' + "x" * 1_200_000 + '"}', "application/fhir+json"),
        (
            f'<!DOCTYPE P [<!ENTITY l0 "lol">{entities}]><Patient xmlns="http://hl7.org/fhir"><id value="&l9;"/></Patient>',
            xml,
        ),
        (
            f'<!DOCTYPE P [<!ENTITY x SYSTEM "file://{secret}">]><Patient xmlns="http://hl7.org/fhir"><id value="&x;"/></Patient>',
            xml,
        ),
        ('<!DOCTYPE P SYSTEM "http://127.0.0.1:9/x.dtd"><Patient xmlns="http://hl7.org/fhir"/>', xml),
        ('<Patient xmlns="http://hl7.org/fhir">' + "<contact>" * 3_000 + "</contact>" * 3_000 + "</Patient>", xml),
        (gzip.compress(b"0" * 30_000_000), "application/fhir+json"),
    ]
    for body, kind in bombs:
        for method, path in (
            ("POST", "/Patient"),
            ("PUT", "/Patient/p1"),
            ("POST", "/Patient/$validate"),
            ("POST", ""),
        ):
            answer = steward.send(method, path, body, Content_Type=kind)
            checked = path.endswith("$validate") and answer.status_code == 200
            severities = {one["severity"] for one in answer.json["issue"]}
            assert answer.status_code in (400, 413, 422) or checked, (kind, str(body)[:60], answer.status_code)
            assert severities & {"error", "fatal"}, (kind, str(body)[:60])
            assert "canary-of-a-file" not in answer.text and "lollol" not in answer.text
    packed = steward.send(
        "POST", "/Patient", bombs[-1][0], Content_Type="application/fhir+json", Content_Encoding="gzip"
    )
    assert packed.status_code in (400, 413, 415, 422)


@pytest.mark.attack(76)
def test_more_than_may_be_sent_is_not_read(steward: Caller, app: Flask) -> None:
    most = app.extensions["services"].settings.max_bytes
    answer = steward.send("POST", "/Patient", b" " * (most + 1))
    assert (answer.status_code, answer.json["issue"][0]["code"]) == (413, "too-costly")


@pytest.mark.attack(77)
def test_what_is_injected_is_a_value_and_nothing_else(steward: Caller, treating: Caller) -> None:
    """In every search parameter of the hot types, in ids, sort keys, systems, headers and stored text."""
    evils = cycle(EVIL)
    bearer = {"Authorization": f"Bearer {treating.token}"}

    def asked(kind: str, query: dict[str, str]) -> None:
        answer = treating.http.get(f"/fhir/{kind}", query_string=query, headers=bearer)
        assert answer.status_code in (200, 400, 403), (kind, query, answer.status_code)
        if answer.status_code == 200:
            assert {one["resource"]["resourceType"] for one in answer.json.get("entry", ())} <= {kind}, query

    for kind in ("ImagingStudy", "Patient", "EpisodeOfCare", "Endpoint"):
        for name in TYPES[kind].params:
            asked(kind, {name: next(evils)})
    for evil in EVIL:
        for name in ("_sort", "_include", "_elements", "identifier", "patient:Patient.family", "_cursor"):
            asked("ImagingStudy", {name: f"{evil}|{evil}" if name == "identifier" else evil})
    stored = steward.put(
        "/Patient/p9", patient("p9", "9990000042") | {"name": [{"family": EVIL[0], "given": [EVIL[1], EVIL[6]]}]}
    )
    assert stored.status_code == 201
    assert steward.ids("/Patient?family=' OR '1'='1") == ["p9"]
    assert treating.ids("/ImagingStudy?patient=p1") == ["s1"]


@pytest.mark.attack(77)
def test_a_wildcard_in_a_text_is_a_letter(steward: Caller) -> None:
    for wild in ("%", "_", "%25", "D_mo", "\\"):
        answer = steward.http.get(
            "/fhir/Patient", query_string={"family": wild}, headers={"Authorization": f"Bearer {steward.token}"}
        )
        assert not answer.json.get("entry"), wild


@pytest.mark.attack(78)
def test_nothing_rests_on_what_a_proxy_might_have_said(treating: Caller, app: Flask) -> None:
    """Nobody is believed about host, scheme or address, and no header turns one method into another."""
    usual = treating.get("/ImagingStudy?patient=p1&_count=1")
    for name, value in {
        "X-Forwarded-Host": "evil.example", "X-Forwarded-Proto": "https", "X-Forwarded-Prefix": "/evil",
        "Forwarded": "host=evil.example;proto=https", "Host": "evil.example", "X-Original-URL": "/fhir/Patient",
        "X-Rewrite-URL": "/fhir/Patient", "X-Forwarded-For": "203.0.113.9",
    }.items():  # fmt: skip
        answer = treating.get("/ImagingStudy?patient=p1&_count=1", **{name.replace("-", "_"): value})
        assert answer.status_code == 200
        assert "evil.example" not in answer.text and "/evil" not in answer.text
        assert [one["resource"]["id"] for one in answer.json["entry"]] == [
            one["resource"]["id"] for one in usual.json["entry"]
        ]
    with app.extensions["services"].store.begin(reads=True) as tx:
        assert not [row for row in tx.rows("SELECT body FROM audit") if b"203.0.113.9" in bytes(row[0])]
    archive = caller(app, "archive", "RXA")
    for name in ("X-HTTP-Method-Override", "X-Method-Override", "X-HTTP-Method"):
        assert archive.post("/ImagingStudy/s1", None, **{name.replace("-", "_"): "DELETE"}).status_code == 405
        assert archive.get("/ImagingStudy/s1?_method=DELETE", **{name.replace("-", "_"): "DELETE"}).status_code in (
            200,
            400,
        )
        assert archive.get("/ImagingStudy/s1").status_code == 200


@pytest.mark.attack(78)
@pytest.mark.parametrize(("proxies", "address"), [("1", "198.51.100.7"), ("2", "203.0.113.9")])
def test_of_the_proxies_that_are_there_each_adds_one_address_and_what_a_client_says_before_is_not_believed(
    tmp_path: Path, proxies: str, address: str
) -> None:
    settings = Settings(database_url=f"sqlite:///{tmp_path}/r.db", keys_dir=f"{tmp_path}/keys", proxies=int(proxies))
    app = create_app(settings)
    store = app.extensions["services"].store
    schema.upgrade(store)
    said = {"X-Forwarded-For": "192.0.2.1, 203.0.113.9, 198.51.100.7", "X-Forwarded-Host": "evil.example"}
    answer = app.test_client().get("/fhir/Patient", headers=said)
    assert "evil.example" not in answer.text
    with store.begin(reads=True) as tx:
        bodies = [bytes(row[0]) for row in tx.rows("SELECT body FROM audit")]
    store.close()
    assert bodies and all(address.encode() in body for body in bodies)


SMUGGLED = (
    b"POST /fhir/metadata HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n",
    b"POST /fhir/metadata HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nabcdeGET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n",
    b"POST /fhir/metadata HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: xchunked\r\nContent-Length: 3\r\n\r\nabcGET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n",
)  # fmt: skip


@pytest.mark.attack(78)
def test_a_request_with_two_lengths_is_refused_or_read_as_one(tmp_path: Path) -> None:
    """Of each connection one reading alone is possible: what is ambiguous has one answer at most, and an error."""
    server = Running(tmp_path)
    try:
        server.start()
        for raw in SMUGGLED:
            with socket.create_connection(("127.0.0.1", server.port), timeout=10) as stream:
                stream.settimeout(3)
                stream.sendall(raw)
                said = b""
                with suppress(TimeoutError, ConnectionResetError):
                    while chunk := stream.recv(65_536):
                        said += chunk
            assert said.count(b"HTTP/1.1 ") <= 1, said[:400]
            assert not said or said.startswith((b"HTTP/1.1 4", b"HTTP/1.1 5")), said[:400]
    finally:
        server.close()
