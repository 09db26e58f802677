"""The authorization server, by authlib: codes for apps, refresh tokens, client_credentials for backend services.

https://hl7.org/fhir/smart-app-launch/app-launch.html and backend-services.html; RFC 6749, 7523, 7636, 9700
"""

from __future__ import annotations

import base64
import hmac
import re
from typing import Any

from authlib.integrations.flask_oauth2 import AuthorizationServer
from authlib.integrations.flask_oauth2.requests import FlaskOAuth2Payload, FlaskOAuth2Request
from authlib.oauth2 import OAuth2Request
from authlib.oauth2.base import OAuth2Error
from authlib.oauth2.rfc6749 import grants
from authlib.oauth2.rfc6749.errors import (
    InvalidClientError,
    InvalidGrantError,
    InvalidRequestError,
    InvalidScopeError,
    UnauthorizedClientError,
)
from authlib.oauth2.rfc7636 import create_s256_code_challenge
from flask import Flask, Response
from flask import request as http

from app.access import audit, scopes
from app.smart import approvals
from app.smart.clients import METHODS, Registered, by_assertion, finder
from app.smart.tokens import BACKEND_SECONDS, Tokens
from app.storage.engine import Store

GRANTS = ("authorization_code", "refresh_token", "client_credentials")
_VERIFIER = re.compile(r"[A-Za-z0-9\-._~]{43,128}\Z")


class FormPayload(FlaskOAuth2Payload):  # type: ignore[misc]
    """Parameters from the body alone, never from the address."""

    @property
    def data(self) -> Any:
        return self._request.form


class FormRequest(FlaskOAuth2Request):  # type: ignore[misc]
    """A request as authlib wants to see it. Nothing rests on the address by which it came: TLS ends in front of here."""

    def __init__(self, request: Any) -> None:
        OAuth2Request.__init__(self, method=request.method, uri="https://here.invalid/", headers=request.headers)
        self._request = request
        self.payload = FormPayload(request)


class Server(AuthorizationServer):  # type: ignore[misc]
    """authlib's server with the registry's parts at hand."""

    def __init__(self, app: Flask, store: Store, tokens: Tokens, token_url: str) -> None:
        super().__init__(app, query_client=finder(store), save_token=lambda token, request: None)
        self.store, self.tokens = store, tokens
        self.register_client_auth_method("private_key_jwt", by_assertion(store, token_url))
        for grant in (CodeGrant, RefreshGrant, BackendGrant):
            self.register_grant(grant)

    def create_oauth2_request(self, request: Any) -> FormRequest:
        return FormRequest(http)

    def create_token_response(self, request: Any = None) -> Response:
        """What the token endpoint answers, an OAuth error for whatever is wrong with the request."""
        asked = self.create_oauth2_request(request)
        try:
            check_form(asked)
            grant = self.get_token_grant(asked)
            grant.validate_token_request()
            answer: Response = self.handle_response(*grant.create_token_response())
            self._recorded(asked, answer.status_code, asked.form["grant_type"])
        except OAuth2Error as error:
            answer = self.handle_error_response(asked, error)
            self._recorded(asked, 400, error.error)
        return answer

    def _recorded(self, asked: FormRequest, status: int, detail: str) -> None:
        """A token given or refused stands in the audit; a client that is not registered is not named in it."""
        said = asked.client.client.id if asked.client else asked.form.get("client_id", "")
        client = self.query_client(said) if said else None
        name = client.client.id if client else None
        self.store.retry(lambda tx: audit.noted(tx, "login", status=status, client=name, detail=detail))

    def proved_client(self, endpoint: str, *, public: bool = False) -> Registered:
        """The client that a request to another endpoint is of. Raises OAuth2Error."""
        asked = self.create_oauth2_request(None)
        check_header(asked)
        found: Registered = self.authenticate_client(asked, METHODS if public else METHODS[:3], endpoint)
        return found


class UnsupportedGrant(OAuth2Error):  # type: ignore[misc]
    """RFC 6749, section 5.2."""

    error = "unsupported_grant_type"


def check_form(request: FormRequest) -> None:
    """A token request is a form with each parameter once, and nothing in its address. Raises OAuth2Error."""
    if http.query_string:
        raise InvalidRequestError("parameters stand in the address; expected them in the body alone")
    form = request.form
    if any(len(form.getlist(name)) > 1 for name in form):
        raise InvalidRequestError("a parameter is given twice; expected it once")
    if "grant_type" not in form:
        raise InvalidRequestError("grant_type is missing; expected a form with one")
    if form["grant_type"] not in GRANTS:
        raise UnsupportedGrant(f"grant_type is not supported; expected one of {', '.join(GRANTS)}")
    check_header(request)


def check_header(request: FormRequest) -> None:
    """A Basic header is one that can be read. Raises OAuth2Error."""
    scheme, _, given = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return
    try:
        base64.b64decode(given.strip(), validate=True).decode()
        if not given.strip():
            raise ValueError
    except ValueError:
        raise InvalidClientError("the Basic header cannot be read", status_code=401) from None


def _registered(grant: Any) -> Any:
    """The client, proved, and allowed this grant. Raises the OAuth error."""
    client = grant.authenticate_token_endpoint_client()
    if not client.check_grant_type(grant.GRANT_TYPE):
        raise UnauthorizedClientError("this client is not registered for this grant_type")
    return client


class CodeGrant(grants.AuthorizationCodeGrant):  # type: ignore[misc]
    """authorization_code with PKCE by S256, of every client."""

    TOKEN_ENDPOINT_AUTH_METHODS = METHODS

    def validate_token_request(self) -> None:
        client = _registered(self)
        form = self.request.form
        for name in ("code", "redirect_uri", "code_verifier"):
            if not form.get(name):
                raise InvalidRequestError(f"{name} is missing")
        found = self.server.store.retry(lambda tx: approvals.held(tx, form["code"], client.client))
        if found is None:
            raise InvalidGrantError("the code is not known, was used, or has expired")
        if form["redirect_uri"] != found.redirect_uri:
            raise InvalidGrantError("redirect_uri is not the one that the code was asked for with")
        verifier = form["code_verifier"]
        if not _VERIFIER.match(verifier) or not hmac.compare_digest(
            create_s256_code_challenge(verifier), found.challenge
        ):
            raise InvalidGrantError("code_verifier is not the one of the code_challenge")
        self.request.client, self.request.authorization_code = client, found

    def create_token_response(self) -> Any:
        client, found = self.request.client.client, self.request.authorization_code
        server = self.server

        def work(tx: Any) -> dict[str, Any] | None:
            if not approvals.collect(tx, found):
                return None
            return approvals.respond(tx, server.tokens, client, found.authorization)

        said = server.store.retry(work)
        if said is None:
            raise InvalidGrantError("the code was used")
        return 200, said, self.TOKEN_RESPONSE_HEADER


class RefreshGrant(grants.RefreshTokenGrant):  # type: ignore[misc]
    """refresh_token, each good once."""

    TOKEN_ENDPOINT_AUTH_METHODS = METHODS

    def authenticate_token_endpoint_client(self) -> Registered:
        """A public app need not say which it is (RFC 6749, section 6): the refresh token does, which is its alone."""
        form, server = self.request.form, self.server
        if "Authorization" in self.request.headers or {"client_id", "client_assertion", "client_secret"} & form.keys():
            found: Registered = super().authenticate_token_endpoint_client()
            return found
        given = form.get("refresh_token", "")
        with server.store.begin(reads=True) as tx:
            name = approvals.client_of(tx, given)
        client = server.query_client(name) if name else None
        if client is None:
            raise InvalidGrantError("the refresh token is not known, was used, or has ended")
        if not client.check_endpoint_auth_method("none", "token"):
            raise InvalidClientError("the client is to prove itself", status_code=401)
        return client  # type: ignore[no-any-return]

    def validate_token_request(self) -> None:
        given = self.request.form.get("refresh_token")
        if not given:
            raise InvalidRequestError("refresh_token is missing")
        client = _registered(self)
        approved = self.server.store.retry(lambda tx: approvals.renewed(tx, given, client.client))
        if approved is None:
            raise InvalidGrantError("the refresh token is not known, was used, or has ended")
        scope = approvals.narrowed(self.request.form.get("scope"), approved)
        if scope is None:
            raise InvalidScopeError("the scope is more than was approved")
        self.request.client, self.request.refresh_token, self.request.scope = client, (given, approved), scope

    def create_token_response(self) -> Any:
        client, (given, approved), scope = self.request.client.client, self.request.refresh_token, self.request.scope
        server = self.server

        def work(tx: Any) -> dict[str, Any] | None:
            if not approvals.rotate(tx, given, approved):
                return None
            return approvals.respond(tx, server.tokens, client, approved, scope)

        said = server.store.retry(work)
        if said is None:
            raise InvalidGrantError("the refresh token was used")
        return 200, said, self.TOKEN_RESPONSE_HEADER


class BackendGrant(grants.ClientCredentialsGrant):  # type: ignore[misc]
    """client_credentials, by a signed assertion or a secret."""

    TOKEN_ENDPOINT_AUTH_METHODS = METHODS[:3]

    def validate_token_request(self) -> None:
        self.request.client = _registered(self)
        asked = self.request.form.get("scope", "")
        if not asked.strip():
            raise InvalidScopeError("no scope was asked; expected system scopes such as system/ImagingStudy.rs")
        if scopes.faults(asked) or not all(scopes.of_context(one, "system") for one in asked.split()):
            raise InvalidScopeError(
                "a scope is not of the form system/Type.cruds; there is no user and no patient here"
            )
        if not scopes.covered(asked, self.request.client.client.scope):
            raise InvalidScopeError("the scope is more than the client is registered for")

    def create_token_response(self) -> Any:
        client, scope = self.request.client.client, " ".join(dict.fromkeys(self.request.form["scope"].split()))
        said = {
            "access_token": self.server.tokens.mint(client, scope, BACKEND_SECONDS),
            "token_type": "Bearer",
            "expires_in": BACKEND_SECONDS,
            "scope": scope,
        }
        return 200, said, self.TOKEN_RESPONSE_HEADER
