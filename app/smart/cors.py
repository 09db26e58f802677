"""Apps that run in a browser, at an address of their own: which of them may read what this server answers.

https://hl7.org/fhir/smart-app-launch/app-launch.html#considerations-for-cross-origin-resource-sharing-cors-support.
Discovery is open to all; tokens and FHIR to the origins that registered apps are sent back to. Never with cookies: what
a page may ask, it asks with a token of its own.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from flask import Flask, Response, request

from app.storage import oauth
from app.storage.engine import Store

KEPT_SECONDS = 10
OPEN = ("/fhir/metadata", "/fhir/.well-known/smart-configuration", "/.well-known/openid-configuration", "/auth/jwks")
BELOW = ("/fhir/", "/auth/token", "/auth/userinfo", "/auth/revoke", "/auth/introspect", "/archive/proxy/")
METHODS = "GET, HEAD, POST, PUT, PATCH, DELETE"
SENT = (
    "Authorization, Content-Type, Accept, Prefer, If-Match, If-None-Match, If-None-Exist, If-Modified-Since,"
    " Idempotency-Key, Emergency-Grant, X-Request-Id, X-Correlation-Id"
)
SHOWN = "ETag, Last-Modified, Location, Content-Location, X-Request-Id, WWW-Authenticate, Retry-After"


@dataclass
class Origins:
    """The origins of registered apps, looked up at most every ten seconds."""

    store: Store
    known: frozenset[str] = frozenset()
    until: float = field(default=0.0)

    def allowed(self, origin: str) -> bool:
        if self.until < time.monotonic():
            with self.store.begin(reads=True) as tx:
                apps = [one for one in oauth.every(tx) if one.kind == "app" and not one.disabled]
            addresses = (urlsplit(address) for one in apps for address in one.redirect_uris.split())
            self.known = frozenset(f"{one.scheme}://{one.netloc}" for one in addresses if one.netloc)
            self.until = time.monotonic() + KEPT_SECONDS
        return origin in self.known


def register(app: Flask, store: Store) -> None:
    """Put the headers on every answer that such an app may read."""
    origins = Origins(store)

    @app.after_request
    def headers(response: Response) -> Response:
        origin = request.headers.get("Origin")
        if origin is None or not request.path.startswith((*OPEN, *BELOW)):
            return response
        if request.path in OPEN:
            response.headers["Access-Control-Allow-Origin"] = "*"
        else:
            response.vary.add("Origin")
            if not origins.allowed(origin):
                return response
            response.headers["Access-Control-Allow-Origin"] = origin
        response.headers["Access-Control-Expose-Headers"] = SHOWN
        if request.method == "OPTIONS":
            response.headers["Access-Control-Allow-Methods"] = METHODS
            response.headers["Access-Control-Allow-Headers"] = SENT
            response.headers["Access-Control-Max-Age"] = "600"
        return response
