"""Attacks 64, 66 and 67: addresses and headers that a subscriber chooses."""

from __future__ import annotations

import socket
from typing import Any

import pytest
from flask import Flask

from app.config import Settings
from app.notifications.endpoint import Sender, Undeliverable
from tests.notifications.conftest import subscribed
from tests.support.receiver import Receiver
from tests.support.region import Caller, caller, settle

ALLOWED = Settings(notify_allow="https://epr.example https://127.0.0.1:* http://hooks.example:8000")


@pytest.fixture
def engine(app: Flask) -> Caller:
    settle(app)
    return caller(app)


@pytest.mark.attack(64)
@pytest.mark.parametrize(
    "address",
    [
        "http://10.0.0.1/x",
        "http://169.254.169.254/latest/meta-data",
        "http://2130706433/",
        "http://0x7f.1/",
        "http://0177.0.0.1/",
        "http://[::ffff:10.0.0.1]/",
        "http://user@127.0.0.1/x",
        "http://user:secret@127.0.0.1/x",
        "https://127.0.0.1.evil.example/x",
        "https://localhost.evil.example/",
        "file:///etc/passwd",
        "gopher://127.0.0.1/",
        "ftp://127.0.0.1/",
        "//127.0.0.1/x",
        "http:///x",
        "http://127.0.0.1:0/",
        "http://127.0.0.1/x#fragment",
        "http://127.0.0.1/\r\nX: y",
        "",
        "http://" + "a" * 3000,
    ],
)
def test_a064_an_address_that_may_not_be_notified_is_refused_when_it_is_written(engine: Caller, address: str) -> None:
    answer = engine.post("/Subscription", subscribed("imaging-study-available", address))
    assert answer.status_code in (400, 422), answer.text
    assert any("Subscription.channel" in place for one in answer.json["issue"] for place in one["expression"])


@pytest.mark.attack(64)
@pytest.mark.parametrize(
    "address",
    ["10.1.2.3", "192.168.1.1", "172.16.0.1", "169.254.169.254", "127.0.0.1", "::1", "fe80::1", "fc00::1", "0.0.0.0"],
)
def test_a064_a_name_that_stands_for_an_address_inside_is_not_sent_to(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DNS rebinding: the name is looked up at each sending, and the connection goes to what was looked up."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [(family, socket.SOCK_STREAM, 6, "", (address, 443))])
    with pytest.raises(Undeliverable, match="not public"):
        Sender(ALLOWED).send("POST", "https://epr.example/notify", b"", {}, 1)


@pytest.mark.attack(64)
def test_a064_one_address_inside_among_public_ones_is_enough_to_refuse(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (one, 443)) for one in ("93.184.215.14", "10.0.0.1")]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
    with pytest.raises(Undeliverable, match="not public"):
        Sender(ALLOWED).send("POST", "https://epr.example/notify", b"", {}, 1)


@pytest.mark.attack(66)
@pytest.mark.parametrize(
    "address",
    [
        "https://epr.example.evil.example/notify",
        "https://epr.example:8443/notify",
        "http://epr.example/notify",
        "https://hooks.example:8000/",
        "http://hooks.example:80001/",
        "https://xepr.example/",
    ],
)
def test_a066_an_origin_is_the_whole_origin_and_no_prefix(address: str) -> None:
    with pytest.raises(Undeliverable, match="not of an allowed origin"):
        Sender(ALLOWED).send("POST", address, b"", {}, 1)


@pytest.mark.attack(64)
def test_a064_no_redirect_is_followed() -> None:
    receiver = Receiver(lambda got: 307)
    try:
        with pytest.raises(Undeliverable, match="answered 307"):
            Sender(Settings()).send("POST", receiver.url, b"x", {}, 5)
    finally:
        receiver.close()


@pytest.mark.attack(67)
@pytest.mark.parametrize(
    "header",
    [
        "X-A: b\r\nHost: evil.example",
        "X-A: b\nX-B: c",
        "Authorization: Bearer abc",
        "authorization: Basic abc",
        "Cookie: a=b",
        "Host: evil.example",
        "Content-Length: 0",
        "Transfer-Encoding: chunked",
        "X-Registry-Signature: t=0,v1=0",
        "no colon",
        ": empty",
        "X A: b",
        "X-A: \x00",
    ],
)
def test_a067_a_header_that_could_change_the_request_is_refused(engine: Caller, header: str) -> None:
    made = subscribed("imaging-study-available", "http://127.0.0.1:9/x", header=[header])
    answer = engine.post("/Subscription", made)
    assert answer.status_code in (400, 422), answer.text
    assert any("header" in place for one in answer.json["issue"] for place in one["expression"])


def _criteria(text: str) -> dict[str, Any]:
    return {"criteria": text}


@pytest.mark.parametrize(
    ("change", "place"),
    [
        (_criteria("https://imaging-registry.example/fhir/SubscriptionTopic/unknown"), "Subscription.criteria"),
        (_criteria("Observation?code=1"), "Subscription.criteria"),
        (_criteria("ImagingStudy?colour=red"), "Subscription.criteria"),
        (_criteria("ImagingStudy?started=yesterday"), "Subscription.criteria"),
        (_criteria("ImagingStudy?patient.name=x"), "Subscription.criteria"),
        (_criteria("ImagingStudy?_sort=started"), "Subscription.criteria"),
        (_criteria("AuditEvent?action=R"), "Subscription.criteria"),
        (_criteria("Subscription?status=active"), "Subscription.criteria"),
        (_criteria(""), "Subscription.criteria"),
        ({"channel": {"type": "email", "endpoint": "http://127.0.0.1:9/x"}}, "Subscription.channel.type"),
        (
            {"channel": {"type": "rest-hook", "endpoint": "http://127.0.0.1:9/x", "payload": "text/html"}},
            "Subscription.channel.payload",
        ),
    ],
)
def test_a_subscription_that_cannot_act_is_refused_at_its_place(
    engine: Caller, change: dict[str, Any], place: str
) -> None:
    answer = engine.post("/Subscription", subscribed("imaging-study-available", "http://127.0.0.1:9/x") | change)
    assert answer.status_code in (400, 422), answer.text
    assert any(found.startswith(place) for one in answer.json["issue"] for found in one["expression"])


@pytest.mark.parametrize("filter", ["ImagingStudy?description=x", "Patient?name=x", "ImagingStudy?modality", "x"])
def test_a_filter_that_the_topic_does_not_have_is_refused_at_its_place(engine: Caller, filter: str) -> None:
    answer = engine.post(
        "/Subscription", subscribed("imaging-study-available", "http://127.0.0.1:9/x", filters=(filter,))
    )
    assert answer.status_code == 422, answer.text
    assert answer.json["issue"][0]["expression"] == ["Subscription.criteria.extension[0]"]


@pytest.mark.attack(63)
def test_events_about_what_the_client_may_not_read_cannot_be_subscribed_to(engine: Caller) -> None:
    answer = engine.post("/Subscription", subscribed("consent-changed", "http://127.0.0.1:9/x"))
    assert answer.status_code == 403
    assert answer.json["issue"][0]["expression"] == ["Subscription.criteria"]
