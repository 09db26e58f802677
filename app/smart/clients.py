"""Clients as authlib wants to see them, and how each proves itself: assertion, secret, or, for a public app, nothing.

https://hl7.org/fhir/smart-app-launch/client-confidential-asymmetric.html, RFC 6749 (2.3), 7523
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from authlib.oauth2.rfc6749 import ClientMixin
from authlib.oauth2.rfc6749.errors import InvalidClientError
from werkzeug.security import check_password_hash

from app.smart import assertions
from app.storage import oauth
from app.storage.engine import Store
from app.storage.oauth import Client

METHODS = ["private_key_jwt", "client_secret_basic", "client_secret_post", "none"]
GRANTS = {"app": ("authorization_code", "refresh_token")}


class Registered(ClientMixin):  # type: ignore[misc]
    """A client of the registry. It has one way to prove itself: the one that it is registered with."""

    def __init__(self, client: Client) -> None:
        self.client = client

    def get_client_id(self) -> str:
        return self.client.id

    def get_default_redirect_uri(self) -> str:
        return ""

    def get_allowed_scope(self, scope: str | None) -> str:
        """The scope, which the grant has checked to lie within the registration."""
        return scope or ""

    def check_redirect_uri(self, redirect_uri: str) -> bool:
        return redirect_uri in self.client.redirect_uris.split()

    def check_client_secret(self, client_secret: str) -> bool:
        return bool(self.client.secret_hash) and check_password_hash(self.client.secret_hash or "", client_secret)

    def check_endpoint_auth_method(self, method: str, endpoint: str) -> bool:
        if self.client.secret_hash is not None:
            return method.startswith("client_secret")
        if self.client.kind == "app" and not self.client.jwks and not self.client.jwks_url:
            return method == "none"
        return method == "private_key_jwt"

    def check_response_type(self, response_type: str) -> bool:
        return response_type == "code" and self.client.kind == "app"

    def check_grant_type(self, grant_type: str) -> bool:
        return grant_type in GRANTS.get(self.client.kind, ("client_credentials",))


def finder(store: Store) -> Callable[[str], Registered | None]:
    """Looks up a client that is in use."""

    def find(client_id: str) -> Registered | None:
        if len(client_id) > 255 or "\0" in client_id:
            return None
        with store.begin(reads=True) as tx:
            found = oauth.find(tx, client_id)
        return Registered(found) if found and not found.disabled else None

    return find


def by_assertion(store: Store, token_url: str) -> Callable[[Any, Any], Registered | None]:
    """private_key_jwt for authlib."""

    def authenticate(query: Callable[[str], Registered | None], request: Any) -> Registered | None:
        form = request.form
        if "client_assertion" not in form and "client_assertion_type" not in form:
            return None
        if form.get("client_assertion_type") != assertions.TYPE:
            raise InvalidClientError(description="client_assertion_type is not known; expected the one of RFC 7523")
        assertion = form.get("client_assertion", "")
        claimed = assertions.claimed_client(assertion) or ""
        client = query(claimed)
        if client is None or not client.check_endpoint_auth_method("private_key_jwt", "token"):
            raise InvalidClientError(description="no such client; expected one that is registered with its keys")
        if form.get("client_id", claimed) != claimed:
            raise InvalidClientError(description="client_id is another client's than the assertion")
        now = store.clock() // 1_000_000
        try:
            jti, expires = assertions.verify(assertion, client.client, token_url, now)
        except assertions.BadAssertion as fault:
            raise InvalidClientError(description=str(fault)) from fault
        keep = (expires + assertions.SKEW_SECONDS) * 1_000_000
        if not store.retry(lambda tx: oauth.use_assertion(tx, client.client.id, jti, keep)):
            raise InvalidClientError(description="the assertion was used before; expected a jti used once")
        return client

    return authenticate
