"""What the answers of every address for gates have in common: their headers, and how they fail."""

from __future__ import annotations

import uuid

from flask import Response, request
from werkzeug.exceptions import HTTPException

from app import observability
from app.fhir.outcome import Fault
from app.storage.engine import unavailable

# What an archive sends is shown as images, and never run as a page.
CONTENT_SECURITY = "default-src 'none'; frame-ancestors 'none'; sandbox"


def hardened(response: Response) -> Response:
    """Nothing of it is kept by anyone on the way, or taken for something else."""
    response.headers["X-Request-ID"] = request_id()
    response.headers.setdefault("Cache-Control", "no-store")
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Content-Security-Policy"] = CONTENT_SECURITY
    response.headers["Cross-Origin-Resource-Policy"] = "same-origin"
    return response


def request_id() -> str:
    """The request's id: the caller's where it can be told again, else one of our own."""
    given = request.headers.get("X-Request-ID", "")
    if 0 < len(given) <= 128 and given.isascii() and given.isprintable():
        return given
    return str(request.environ.setdefault("registry.request_id", str(uuid.uuid4())))


def refused(status: int, message: str, decision: str = "") -> Response:
    """An answer in plain text."""
    response = Response(message, status=status, content_type="text/plain; charset=utf-8")
    if status in (401, 403):
        response.headers["WWW-Authenticate"] = 'Bearer realm="imaging registry"'
    if status == 503:
        response.headers["Retry-After"] = "2"
    if decision:
        response.headers["X-Decision-Id"] = decision
    return response


def failed(error: Exception) -> Response:
    """Whatever went wrong, without its text."""
    if isinstance(error, Fault):
        return refused(error.status, error.text)
    if isinstance(error, HTTPException):
        return refused(error.code or 400, "the request cannot be read")
    if unavailable(error):
        return refused(503, "the database cannot be reached; try again")
    place = observability.place_of(error)
    observability.event("request_failed", request_id=request_id(), error=type(error).__name__, place=place)
    return refused(500, f"the registry failed to answer; say request id {request_id()} when you report it")
