"""The addresses of the decision API: /access/v1/… and /.well-known/authzen-configuration."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from flask import Blueprint, Response, jsonify, request

from app.access import audit
from app.access.scopes import allows
from app.access.subject import Subject
from app.archives.authzen import Point, Refused, Verify
from app.archives.headers import failed, hardened, refused, request_id
from app.fhir.lossless import load
from app.fhir.outcome import Fault
from app.interactions import Services

MOST_BYTES = 1_000_000


def blueprint(services: Services, verify: Verify) -> Blueprint:
    """AuthZEN's two evaluations and its metadata."""
    access = Blueprint("access", __name__)
    base = services.settings.origin

    def answered(work: Callable[[Point, dict[str, Any]], dict[str, Any]]) -> Response:
        caller: Subject | None = None
        try:
            caller = _caller(verify)
            return jsonify(work(Point(services, verify, caller, request_id()), _body()))
        except Refused as error:
            status, message = error.status, error.message
            services.store.retry(
                lambda tx: audit.noted(
                    tx,
                    "operation",
                    status=status,
                    subject=caller,
                    detail=f"evaluation: {message}",
                    request_id=request_id(),
                    address=request.remote_addr or "",
                )
            )
            return refused(status, message)

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
        return hardened(response)

    @access.errorhandler(Exception)
    def wrong(error: Exception) -> Response:
        return failed(error)

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
