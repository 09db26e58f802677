"""Addresses of the authorization server that programs call, below /auth. Pages for people are in `pages`.

RFC 6749 (token), 7662 (introspection), 7009 (revocation), OpenID Connect (userinfo), RFC 7517 (keys)
"""

from __future__ import annotations

from typing import Any

from authlib.oauth2.base import OAuth2Error
from flask import Blueprint, Response, jsonify, request
from werkzeug.exceptions import HTTPException

from app import observability
from app.access.subject import Subject
from app.fhir.outcome import Fault
from app.interactions import Asked, Services, read
from app.smart import approvals
from app.smart.approvals import Authorization
from app.smart.server import Server
from app.smart.tokens import Tokens
from app.storage import authorizations
from app.storage.engine import unavailable

LARGEST = 65_536


def blueprint(services: Services, server: Server, tokens: Tokens) -> Blueprint:
    """/auth/token, /auth/jwks, /auth/introspect, /auth/revoke and /auth/userinfo."""
    auth = Blueprint("auth", __name__, url_prefix="/auth")

    @auth.before_request
    def bounded() -> None:
        request.max_content_length = LARGEST

    @auth.after_request
    def not_stored(response: Response) -> Response:
        response.headers.setdefault("Cache-Control", "no-store")
        response.headers.setdefault("Pragma", "no-cache")
        response.headers["X-Content-Type-Options"] = "nosniff"
        return response

    @auth.errorhandler(Exception)
    def failed(error: Exception) -> tuple[Response, int]:
        return refused(error)

    @auth.post("/token")
    def token() -> Response:
        return with_challenge(server.create_token_response())

    @auth.get("/jwks")
    def jwks() -> Response:
        return jsonify(tokens.keys.jwks())

    @auth.post("/introspect")
    def introspect() -> Response:
        """The caller proves itself by its own bearer token or as a client. An app asks about its own tokens alone."""
        caller, kind = _caller(server, tokens, "introspection")
        subject = tokens.subject(_given())
        if subject is None or (kind == "app" and subject.client_id != caller):
            return jsonify({"active": False})
        return jsonify(introspected(services, subject))

    @auth.post("/revoke")
    def revoke() -> Response:
        """A client revokes its own tokens; with a refresh token ends everything that came of the approval."""
        caller, _ = _caller(server, tokens, "revocation", public=True)
        given = _given()
        services.store.retry(lambda tx: approvals.revoke(tx, tokens, caller, given))
        return jsonify({})

    @auth.route("/userinfo", methods=["GET", "POST"])
    def userinfo() -> Response:
        """https://openid.net/specs/openid-connect-core-1_0.html#UserInfo"""
        subject = tokens.subject(bearer())
        approved = _approved(services, subject) if subject else None
        if subject is None or approved is None:
            return _challenged("invalid_token", 401)
        if "openid" not in subject.scopes:
            return _challenged("insufficient_scope", 403)
        return jsonify(approvals.identity(services.settings, approved.person, " ".join(subject.scopes)))

    return auth


def _caller(server: Server, tokens: Tokens, endpoint: str, *, public: bool = False) -> tuple[str, str]:
    """(client id, kind) of whoever calls. Raises OAuth2Error. `public` apps are known by their id alone: what they may
    do, they do to tokens that they hold."""
    if given := bearer():
        subject = tokens.subject(given)
        if subject is None:
            raise OAuth2Error("the caller's own access token is not valid", status_code=401, error="invalid_token")
        return subject.client_id, subject.kind
    client = server.proved_client(endpoint, public=public).client
    return client.id, client.kind


def _given() -> str:
    given = request.form.getlist("token")
    if len(given) != 1 or not given[0]:
        raise OAuth2Error("token is missing or given twice", status_code=400, error="invalid_request")
    return given[0]


def _approved(services: Services, subject: Subject) -> Authorization | None:
    if subject.family is None:
        return None
    with services.store.begin(reads=True) as tx:
        family = authorizations.family(tx, subject.family)
    return Authorization.of(family) if family else None


def introspected(services: Services, subject: Subject) -> dict[str, Any]:
    """What is said of a good token: https://hl7.org/fhir/smart-app-launch/token-introspection.html"""
    said: dict[str, Any] = {
        "active": True,
        "client_id": subject.client_id,
        "sub": subject.user or subject.client_id,
        "scope": " ".join(subject.scopes),
        "exp": (subject.expires or 0) // 1_000_000,
        "iss": services.settings.origin,
        "aud": services.settings.base_url,
        "token_type": "Bearer",
        "organisation": subject.ods,
        "role": subject.role,
    }
    named = {"purpose": subject.purpose, "practitioner": subject.practitioner}
    named["patient"] = subject.patient.removeprefix("Patient/") if subject.patient else None
    said |= {name: value for name, value in named.items() if value}
    if approved := _approved(services, subject):
        context = approvals.contextual(approved)
        if "fhirContext" in context and not _still_shown(services, subject, approved.context.imagingstudy or ""):
            del context["fhirContext"]
        said |= context | approvals.identity(services.settings, approved.person, said["scope"])
    return said


def _still_shown(services: Services, subject: Subject, study: str) -> bool:
    """Whether the study in context may be known of now: a withdrawal binds what is said of a token, too."""
    try:
        read.read(services, Asked(subject), "ImagingStudy", study)
    except Fault:
        return False
    return True


def bearer() -> str:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def with_challenge(response: Response) -> Response:
    """RFC 6749, section 5.2: a client that did not prove itself gets 401 and how it could have."""
    if response.status_code in (400, 401) and (response.get_json(silent=True) or {}).get("error") == "invalid_client":
        response.status_code = 401
        response.headers["WWW-Authenticate"] = 'Basic realm="imaging registry"'
    return response


def _challenged(error: str, status: int) -> Response:
    response = jsonify({"error": error})
    response.status_code = status
    response.headers["WWW-Authenticate"] = f'Bearer realm="imaging registry", error="{error}"'
    return response


def refused(error: Exception) -> tuple[Response, int]:
    """Whatever goes wrong, as an OAuth error: never a stack trace, never the text of an exception."""
    status, name, text = 500, "server_error", "the registry failed to answer"
    if isinstance(error, OAuth2Error):
        status, name, text = error.status_code, error.error, error.description or ""
        status = 401 if name == "invalid_client" else status
    elif isinstance(error, HTTPException):
        status, name, text = error.code or 400, "invalid_request", "the request cannot be read; expected a form"
    elif isinstance(error, Fault):
        status, text = error.status, "the registry is busy; try again"
        name = "temporarily_unavailable" if error.status == 503 else "server_error"
    elif unavailable(error):
        observability.event("database_unavailable", request_id="")
        status, name, text = 503, "temporarily_unavailable", "the database cannot be reached; try again"
    else:
        place = observability.place_of(error)
        observability.event("request_failed", request_id="", error=type(error).__name__, place=place)
    response = jsonify({"error": name, "error_description": text})
    if status == 401:
        challenge = "Bearer" if name == "invalid_token" else "Basic"
        response.headers["WWW-Authenticate"] = f'{challenge} realm="imaging registry"'
    if status == 503:
        response.headers["Retry-After"] = "2"
    return response, status
