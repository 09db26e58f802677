"""An app and a person with a browser: an authorization from request to tokens, step by step, as each would do it."""

from __future__ import annotations

import base64
import html
import re
import secrets
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlsplit

from flask import Flask
from flask.testing import FlaskClient
from werkzeug.security import generate_password_hash
from werkzeug.test import TestResponse

from app.storage import oauth, people
from app.storage.oauth import Client
from app.storage.people import User

AUD = "http://127.0.0.1:8080/fhir"
REDIRECT = "https://app.example/callback"
SCOPE = "launch/patient openid fhirUser offline_access patient/*.rs"
REGISTERED = (
    "launch launch/patient launch/encounter launch/imagingstudy openid fhirUser profile offline_access online_access"
    " patient/*.rs user/*.rs"
)
APP = Client("app-b", "App of B", "app", "ods:RXB", REGISTERED, "clinician", "TREAT", redirect_uris=REDIRECT)
PASSWORD = "correct horse"
HASH = generate_password_hash(PASSWORD)
CLINICIAN = User("dr-b", "Dr B", "clinician", "ods:RXB", "Practitioner/dr-b", None, HASH)


def register(app: Flask, *known: Client | User) -> None:
    """Clients and people as the commands would register them."""

    def work(tx: Any) -> None:
        for one in known:
            if isinstance(one, Client):
                oauth.add(tx, one)
            else:
                people.add(tx, one)

    app.extensions["services"].store.retry(work)


def verifier_and_challenge() -> tuple[str, str]:
    verifier = secrets.token_urlsafe(48)
    return verifier, base64.urlsafe_b64encode(sha256(verifier.encode()).digest()).decode().rstrip("=")


@dataclass
class Visit:
    """A browser and an app. `answer` is the last page that was seen."""

    http: FlaskClient
    client: Client = APP
    scope: str = SCOPE
    verifier: str = ""
    state: str = field(default_factory=lambda: secrets.token_urlsafe(12))
    answer: TestResponse | None = None

    def parameters(self, **changed: str | None) -> dict[str, str]:
        """What the app asks; None leaves a parameter out."""
        self.verifier, challenge = verifier_and_challenge()
        asked: dict[str, str | None] = {
            "response_type": "code",
            "client_id": self.client.id,
            "redirect_uri": self.client.redirect_uris.split()[0],
            "scope": self.scope,
            "state": self.state,
            "aud": AUD,
            "code_challenge": challenge,
            "code_challenge_method": "S256",
        } | changed
        return {name: value for name, value in asked.items() if value is not None}

    def authorize(self, method: str = "GET", **changed: str | None) -> TestResponse:
        asked = self.parameters(**changed)
        if method == "GET":
            return self._see(self.http.get("/auth/authorize", query_string=asked))
        return self._see(self.http.post("/auth/authorize", data=asked))

    def _see(self, answer: TestResponse) -> TestResponse:
        """Follow this server's own redirects, as a browser would."""
        while answer.status_code in (302, 303) and answer.headers["Location"].startswith("/"):
            self.at = answer.headers["Location"]
            answer = self.http.get(self.at)
        self.answer = answer
        return answer

    def fields(self) -> dict[str, str]:
        """The hidden fields of the last form of the page."""
        assert self.answer is not None
        form = self.answer.text.split("<form")[-1]
        found = re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)"', form)
        return {name: html.unescape(value) for name, value in found}

    def submit(self, **given: str) -> TestResponse:
        """Fill in and send the last form of the page."""
        assert self.answer is not None
        action = html.unescape(re.findall(r'<form method="post" action="([^"]+)"', self.answer.text)[-1])
        return self._see(self.http.post(action, data=self.fields() | given))

    def sign_in(self, username: str = "dr-b", password: str = PASSWORD) -> TestResponse:
        return self.submit(username=username, password=password)

    def choose(self, **given: str) -> TestResponse:
        return self.submit(**given)

    def allow(self) -> TestResponse:
        return self.submit(decision="allow")

    def returned(self) -> dict[str, str]:
        """What the app is told at its own address."""
        assert self.answer is not None and self.answer.status_code in (302, 303), self.answer and self.answer.text
        address = self.answer.headers["Location"]
        assert address.split("?")[0] in self.client.redirect_uris.split(), address
        told = parse_qs(urlsplit(address).query, strict_parsing=True)
        assert all(len(values) == 1 for values in told.values()), told
        return dict(parse_qsl(urlsplit(address).query))

    def code(self, patient: str | None = "p1", username: str = "dr-b", **changed: str | None) -> str:
        """Through all pages; the code."""
        self.authorize(**changed)
        if self.page == "Sign in":
            self.sign_in(username)
        if self.page == "Which patient?" and patient is not None:
            self.choose(patient=patient)
        self.allow()
        told = self.returned()
        assert told.keys() == {"code", "state"} and told["state"] == changed.get("state", self.state), told
        return told["code"]

    @property
    def page(self) -> str:
        """The heading of the page that is seen."""
        assert self.answer is not None
        found = re.findall(r"<h1>(.*?)</h1>", self.answer.text)
        return html.unescape(found[0]) if found else ""

    def exchange(self, code: str | None, **changed: Any) -> TestResponse:
        """Collect tokens with a code; None leaves a parameter out."""
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self.client.redirect_uris.split()[0],
            "client_id": self.client.id,
            "code_verifier": self.verifier,
        } | changed
        return self.http.post("/auth/token", data={name: value for name, value in form.items() if value is not None})

    def refresh(self, token: str, **changed: Any) -> TestResponse:
        form = {"grant_type": "refresh_token", "refresh_token": token, "client_id": self.client.id} | changed
        return self.http.post("/auth/token", data={name: value for name, value in form.items() if value is not None})

    def tokens(self, patient: str | None = "p1", username: str = "dr-b", **changed: str | None) -> dict[str, Any]:
        answer = self.exchange(self.code(patient, username, **changed))
        assert answer.status_code == 200, answer.text
        return dict(answer.json)


def visit(app: Flask, **changed: Any) -> Visit:
    """A fresh browser."""
    return replace(Visit(app.test_client()), **changed)
