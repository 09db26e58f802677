"""Addresses of the authorization server, below /auth."""

from __future__ import annotations

from authlib.integrations.flask_oauth2 import AuthorizationServer
from flask import Blueprint, Response, jsonify, request

from app.interactions import Services
from app.smart.tokens import Tokens


def blueprint(services: Services, server: AuthorizationServer, tokens: Tokens) -> Blueprint:
    """/auth/token, /auth/jwks, /auth/introspect and /auth/revoke."""
    auth = Blueprint("auth", __name__, url_prefix="/auth")

    @auth.after_request
    def not_stored(response: Response) -> Response:
        response.headers.setdefault("Cache-Control", "no-store")
        response.headers.setdefault("Pragma", "no-cache")
        return response

    @auth.post("/token")
    def token() -> Response:
        response: Response = server.create_token_response()
        if response.status_code == 400 and (response.get_json(silent=True) or {}).get("error") == "invalid_client":
            response.status_code = 401  # RFC 6749, section 5.2
            response.headers["WWW-Authenticate"] = "Basic"
        return response

    @auth.get("/jwks")
    def jwks() -> Response:
        return jsonify(tokens.keys.jwks())

    @auth.post("/introspect")
    def introspect() -> Response | tuple[Response, int]:
        """RFC 7662; the caller proves itself by its own bearer token."""
        if tokens.subject(_bearer()) is None:
            return _unproved()
        subject = tokens.subject(request.form.get("token", ""))
        if subject is None:
            return jsonify({"active": False})
        said = {
            "active": True,
            "client_id": subject.client_id,
            "sub": subject.client_id,
            "scope": " ".join(subject.scopes),
            "exp": (subject.expires or 0) // 1_000_000,
            "iss": services.settings.origin,
            "aud": services.settings.base_url,
            "organisation": subject.ods,
            "role": subject.role,
        }
        named = {"purpose": subject.purpose, "practitioner": subject.practitioner, "patient": subject.patient}
        return jsonify(said | {name: value for name, value in named.items() if value})

    @auth.post("/revoke")
    def revoke() -> Response | tuple[Response, int]:
        """RFC 7009; a client revokes its own tokens."""
        caller = tokens.subject(_bearer())
        if caller is None:
            return _unproved()
        found = tokens.subject(request.form.get("token", ""))
        if found is not None and found.client_id == caller.client_id:
            services.store.retry(lambda tx: tokens.revoke(tx, request.form["token"]))
        return jsonify({})

    return auth


def _bearer() -> str:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def _unproved() -> tuple[Response, int]:
    response = jsonify({"error": "invalid_client", "error_description": "expected the caller's own bearer token"})
    response.headers["WWW-Authenticate"] = "Bearer"
    return response, 401
