"""The token endpoint, by authlib: client_credentials for backend services.

https://hl7.org/fhir/smart-app-launch/backend-services.html, RFC 6749, 7009, 7523, 7662
"""

from __future__ import annotations

from typing import Any

from authlib.integrations.flask_oauth2 import AuthorizationServer
from authlib.oauth2.rfc6749 import ClientMixin, grants
from authlib.oauth2.rfc6749.errors import InvalidClientError, InvalidScopeError
from flask import Flask
from werkzeug.security import check_password_hash

from app.access import scopes
from app.smart import assertions
from app.smart.tokens import BACKEND_SECONDS, Tokens
from app.storage import oauth
from app.storage.engine import Store
from app.storage.oauth import Client

METHODS = ["private_key_jwt", "client_secret_basic", "client_secret_post"]


class Registered(ClientMixin):  # type: ignore[misc]
    """A client of the registry as authlib wants to see it."""

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
        symmetric = self.client.secret_hash is not None
        return method == "private_key_jwt" if not symmetric else method.startswith("client_secret")

    def check_response_type(self, response_type: str) -> bool:
        return False

    def check_grant_type(self, grant_type: str) -> bool:
        return grant_type == "client_credentials" and self.client.kind != "app"


class BackendGrant(grants.ClientCredentialsGrant):  # type: ignore[misc]
    """client_credentials, by a signed assertion or a secret."""

    TOKEN_ENDPOINT_AUTH_METHODS = METHODS

    def validate_token_request(self) -> None:
        super().validate_token_request()
        asked = self.request.payload.scope
        if not asked:
            raise InvalidScopeError("no scope was asked; expected system scopes such as system/ImagingStudy.rs")
        if scopes.faults(asked):
            raise InvalidScopeError("a scope is not known; expected the form system/Type.cruds")
        if not scopes.covered(asked, self.request.client.client.scope):
            raise InvalidScopeError("the scope is more than the client is registered for")


def authorization_server(app: Flask, store: Store, tokens: Tokens, token_url: str) -> AuthorizationServer:
    """The server, on clients in the database."""

    def query_client(client_id: str) -> Registered | None:
        with store.begin(reads=True) as tx:
            found = oauth.find(tx, client_id)
        return Registered(found) if found and not found.disabled else None

    def authenticate_by_assertion(query: Any, request: Any) -> Registered | None:
        form = request.form
        if form.get("client_assertion_type") != assertions.TYPE:
            return None
        assertion = form.get("client_assertion", "")
        client: Registered | None = query(assertions.claimed_client(assertion) or "")
        if client is None or client.client.secret_hash is not None:
            raise InvalidClientError(description="no such client; expected one that is registered with its keys")
        now = store.clock() // 1_000_000
        try:
            jti, expires = assertions.verify(assertion, client.client, token_url, now)
        except assertions.BadAssertion as fault:
            raise InvalidClientError(description=str(fault)) from fault
        keep = (expires + assertions.SKEW_SECONDS) * 1_000_000
        if not store.retry(lambda tx: oauth.use_assertion(tx, client.client.id, jti, keep)):
            raise InvalidClientError(description="the assertion was used before; expected a jti used once")
        return client

    def generate(
        grant_type: str, client: Registered, user: Any = None, scope: str | None = None, **more: Any
    ) -> dict[str, Any]:
        if not scope or not scopes.covered(scope, client.client.scope):
            raise InvalidScopeError("the scope is more than the client is registered for")
        return {
            "access_token": tokens.mint(client.client, scope, BACKEND_SECONDS),
            "token_type": "Bearer",
            "expires_in": BACKEND_SECONDS,
            "scope": scope,
        }

    server = AuthorizationServer(app, query_client=query_client, save_token=lambda token, request: None)
    server.register_client_auth_method("private_key_jwt", authenticate_by_assertion)
    server.register_token_generator("client_credentials", generate)
    server.register_grant(BackendGrant)
    return server
