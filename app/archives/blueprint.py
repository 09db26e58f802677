"""The addresses of the decision API: /access/v1/… and /.well-known/authzen-configuration."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from flask import Blueprint, Response, jsonify, request

from app import observability
from app.access import audit
from app.access.scopes import allows
from app.access.subject import Subject
from app.archives.authzen import Point, Refused, Verify
from app.fhir.lossless import load
from app.fhir.outcome import Fault
from app.interactions import Services
from app.storage.engine import unavailable

MOST_BYTES = 1_000_000


def blueprint(services: Services, verify: Verify) -> Blueprint:
    """AuthZEN's two evaluations and its metadata."""
    access = Blueprint("access", __name__)
    base = services.settings.origin

    def answered(work: Callable[[Point, dict[str, Any]], dict[str, Any]]) -> Response:
        caller: Subject | None = None
        try:
            caller = _caller(verify)
            return jsonify(work(Point(services, verify, caller, _request_id()), _body()))
        except Refused as error:
            refused = error
            services.store.retry(
                lambda tx: audit.noted(
                    tx,
                    "operation",
                    status=refused.status,
                    subject=caller,
                    detail=f"evaluation: {refused.message}",
                    request_id=_request_id(),
                    address=request.remote_addr or "",
                )
            )
            return _message(refused.status, refused.message)

    @access.post("/access/v1/evaluation")
    def evaluation() -> Response:
        """May this subject discover, read or locate this study? AuthZEN, section 6."""
        return answered(Point.evaluation)

    @access.post("/access/v1/evaluations")
    def evaluations() -> Response:
        """Several questions at once. AuthZEN, section 7."""
        return answered(Point.evaluations)

    @access.get("/.well-known/authzen-configuration")
    def configuration() -> Response:
        """Where the decision API is. AuthZEN, section 9; open to all."""
        response = jsonify(
            {
                "policy_decision_point": base,
                "issuer": base,
                "access_evaluation_endpoint": f"{base}/access/v1/evaluation",
                "access_evaluations_endpoint": f"{base}/access/v1/evaluations",
            }
        )
        response.headers["Cache-Control"] = "public, max-age=3600"
        return response

    @access.after_request
    def headers(response: Response) -> Response:
        response.headers["X-Request-ID"] = _request_id()
        response.headers.setdefault("Cache-Control", "no-store")
        response.headers["X-Content-Type-Options"] = "nosniff"
        return response

    @access.errorhandler(Exception)
    def failed(error: Exception) -> Response:
        if isinstance(error, Fault):
            return _message(error.status, error.text)
        if unavailable(error):
            return _message(503, "the database cannot be reached; try again")
        place = observability.place_of(error)
        observability.event("request_failed", request_id=_request_id(), error=type(error).__name__, place=place)
        return _message(500, f"the registry failed to answer; say request id {_request_id()} when you report it")

    return access


def _caller(verify: Verify) -> Subject:
    given = request.headers.getlist("Authorization")
    scheme, _, token = (given[0] if len(given) == 1 else "").partition(" ")
    subject = verify(token.strip()) if scheme.lower() == "bearer" and token.strip() else None
    if subject is None:
        raise Refused(401, "no valid access token; expected one in the Authorization header, as Bearer")
    if not subject.decision_point and not allows(subject, "ImagingStudy", "read"):
        raise Refused(403, "the token's scopes do not cover reading ImagingStudy; expected one that does")
    return replace(subject, address=request.remote_addr or "")


def _body() -> dict[str, Any]:
    if request.mimetype != "application/json":
        raise Refused(400, "the request is not JSON; expected application/json")
    content = request.stream.read(MOST_BYTES + 1)
    try:
        said = load(content, MOST_BYTES)
    except Fault as fault:
        raise Refused(400, fault.text) from fault
    if not isinstance(said, dict):
        raise Refused(400, "the request is no JSON object; expected one")
    return said


def _request_id() -> str:
    given = request.headers.get("X-Request-ID", "")
    if 0 < len(given) <= 128 and given.isascii() and given.isprintable():
        return given
    return str(request.environ.setdefault("registry.request_id", str(uuid.uuid4())))


def _message(status: int, message: str) -> Response:
    response = Response(message, status=status, content_type="text/plain; charset=utf-8")
    if status == 401:
        response.headers["WWW-Authenticate"] = 'Bearer realm="imaging registry"'
    if status == 503:
        response.headers["Retry-After"] = "2"
    return response
