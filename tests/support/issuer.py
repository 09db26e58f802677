"""A small OpenID Connect issuer on loopback: real HTTP, real signatures, a code flow with PKCE, userinfo, introspection.

What it says of a person is up to the test: `claims` go into every token, `userinfo` into userinfo alone.
"""

from __future__ import annotations

import base64
import json
import secrets
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from joserfc import jwt
from joserfc.jwk import RSAKey

SECRET = "issuer-secret"


@dataclass
class Issuer:
    """`asked` counts the requests by path; `inactive` are opaque tokens that introspection does not know any more."""

    address: str = ""
    algorithm: str = "RS256"
    client_id: str = "registry-login"
    claims: dict[str, Any] = field(default_factory=dict)
    userinfo: dict[str, Any] = field(default_factory=dict)
    keys: list[RSAKey] = field(default_factory=list)
    asked: Counter[str] = field(default_factory=Counter)
    codes: dict[str, dict[str, str]] = field(default_factory=dict)
    opaque: dict[str, dict[str, Any]] = field(default_factory=dict)
    public_of_client: RSAKey | None = None
    nonce: str = ""  # what id tokens say instead of what was asked

    def rotate(self) -> None:
        """Sign with a new key from now on, and publish that alone."""
        made = RSAKey.generate_key(2048, parameters={"kid": secrets.token_hex(4), "use": "sig", "alg": self.algorithm})
        self.keys = [made]

    def sign(self, header: dict[str, Any] | None = None, key: Any = None, **changed: Any) -> str:
        """A token; None leaves a claim out."""
        now = int(time.time())
        said = {"iss": self.address, "iat": now, "exp": now + 300, "auth_time": now, **self.claims, **changed}
        key = key or self.keys[-1]
        head = {"alg": self.algorithm, "kid": key.kid} | (header or {})
        claims = {name: value for name, value in said.items() if value is not None}
        return jwt.encode(head, claims, key, algorithms=[head["alg"]])

    def access(self, **changed: Any) -> str:
        return self.sign(**({"aud": "imaging-registry"} | changed))


@contextmanager
def running(**known: Any) -> Iterator[Issuer]:
    """An issuer that serves until the block ends."""
    issuer = Issuer(**known)
    issuer.rotate()

    class Handler(_Handler):
        served = issuer

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    issuer.address = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield issuer
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    served: Issuer

    def log_message(self, *_: Any) -> None:
        """Quiet."""

    def _answer(self, said: Any, status: int = 200) -> None:
        body = json.dumps(said).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        self.served.asked[parts.path] += 1
        if parts.path == "/jwks":
            self._answer({"keys": [key.as_dict(private=False) for key in self.served.keys]})
        elif parts.path == "/userinfo":
            self._answer({"sub": self.served.claims.get("sub")} | self.served.userinfo)
        elif parts.path == "/authorize":
            self._authorize(dict(parse_qsl(parts.query)))
        else:
            self._answer({}, 404)

    def _authorize(self, asked: dict[str, str]) -> None:
        code = secrets.token_urlsafe(8)
        self.served.codes[code] = asked
        self.send_response(302)
        told = {"code": code, "state": asked["state"], "iss": self.served.address}
        self.send_header("Location", f"{asked['redirect_uri']}?{urlencode(told)}")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_POST(self) -> None:
        form = dict(parse_qsl(self.rfile.read(int(self.headers["Content-Length"])).decode()))
        self.served.asked[self.path] += 1
        if self.path == "/introspect":
            self._answer(self.served.opaque.get(form["token"], {"active": False}))
        elif self.path == "/token":
            self._token(form)
        else:
            self._answer({}, 404)

    def _token(self, form: dict[str, str]) -> None:
        issuer = self.served
        asked = issuer.codes.pop(form.get("code", ""), None)
        challenge = (
            base64.urlsafe_b64encode(sha256(form.get("code_verifier", "").encode()).digest()).decode().rstrip("=")
        )
        if asked is None or asked.get("code_challenge") != challenge or not self._proved(form):
            self._answer({"error": "invalid_grant"}, 400)
            return
        self._answer(
            {
                "access_token": issuer.access(),
                "token_type": "Bearer",
                "expires_in": 300,
                "id_token": issuer.sign(
                    aud=issuer.client_id,
                    azp=issuer.client_id,
                    typ="ID",
                    nonce=issuer.nonce or asked.get("nonce"),
                ),
            }
        )

    def _proved(self, form: dict[str, str]) -> bool:
        if self.served.public_of_client is None:
            basic = base64.b64encode(f"{self.served.client_id}:{SECRET}".encode()).decode()
            return self.headers.get("Authorization") == f"Basic {basic}"
        found = jwt.decode(form["client_assertion"], self.served.public_of_client, algorithms=["RS512"])
        return found.claims["iss"] == found.claims["sub"] == self.served.client_id
