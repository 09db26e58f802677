"""Whatever goes wrong becomes an OperationOutcome: never a stack trace, never the text of an exception."""

from __future__ import annotations

from flask import Request, Response
from werkzeug.exceptions import HTTPException

from app import observability
from app.fhir import negotiation
from app.fhir.outcome import Fault
from app.fhir.resource import dump
from app.interactions import Answer, Asked, Services
from app.rest import negotiate, refusals
from app.rest.call import Reply
from app.rest.negotiate import Received
from app.storage.engine import too_complex, unavailable

OF_STATUS = {404: "not-found", 405: "not-supported", 413: "too-costly", 415: "media-type", 429: "throttled"}


def rendered(request: Received, error: Exception) -> Reply:
    """The answer to an exception, logged where it is ours."""
    fault = as_fault(request, error)
    try:
        return negotiate.rendered(request, Answer(fault.status, dump(fault.outcome), dict(fault.headers)))
    except Fault as second:
        return Reply(second.status, {"Content-Type": negotiation.CONTENT_TYPES[negotiation.JSON]}, dump(second.outcome))


def answer(request: Request, error: Exception) -> Response:
    """The same for Flask."""
    return negotiate.as_response(rendered(request, error))


def recorded(services: Services, request: Received, error: Exception, asked: Asked | None) -> Exception:
    """The exception as it is to be told, once its fault is in the audit, as that of whoever `asked`. Where the record fails,
    that is what is told."""
    fault = as_fault(request, error)
    if fault.status < 500:
        try:
            refusals.record(services, request, fault, asked)
        except Exception as second:
            return second
    return fault


def as_fault(request: Received, error: Exception) -> Fault:
    """The fault that an exception is told as."""
    if isinstance(error, Fault):
        return error
    if isinstance(error, HTTPException):
        kind = OF_STATUS.get(error.code or 500, "invalid")
        text = {
            "not-found": "no such address; expected one of this server's",
            "not-supported": "this method is not supported here; expected one of those in Allow",
        }.get(kind, "the request cannot be read; expected HTTP as the standard has it")
        methods = getattr(error, "valid_methods", None)
        headers = {"Allow": ", ".join(methods)} if methods else {}
        return Fault(kind, text, headers=headers)
    if too_complex(error):
        return Fault("too-costly", "the request joins more conditions than can be asked at once; expected fewer")
    where = negotiate.request_id(request)
    if unavailable(error):
        observability.event("database_unavailable", request_id=where)
        return Fault("transient", "the database cannot be reached; try again", headers={"Retry-After": "2"})
    observability.event(
        "request_failed", request_id=where, error=type(error).__name__, place=observability.place_of(error)
    )
    return Fault("exception", f"the registry failed to answer; say request id {where} when you report it")
