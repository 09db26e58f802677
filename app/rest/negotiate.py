"""Formats and headers: what came in as a resource, what goes out as JSON or XML."""

from __future__ import annotations

import json
import uuid
from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

import orjson
from flask import Request, Response
from werkzeug.datastructures import Headers

from app.access.subject import Subject
from app.fhir import lossless, negotiation, xml
from app.fhir.outcome import Fault
from app.fhir.resource import parse
from app.interactions import Answer, Asked
from app.rest.call import Call, Reply

Received = Request | Call


def asked(request: Received, subject: Subject) -> Asked:
    """Who asks, and what the headers say."""
    headers = request.headers
    return Asked(
        subject=replace(subject, address=request.remote_addr or ""),
        request_id=request_id(request),
        prefer=negotiation.prefer(headers.get("Prefer")),
        if_match=headers.get("If-Match"),
        if_none_match=headers.get("If-None-Match"),
        if_modified_since=headers.get("If-Modified-Since"),
        if_none_exist=headers.get("If-None-Exist"),
        idempotency_key=headers.get("Idempotency-Key"),
    )


def conditional(asked: Asked, pairs: Sequence[tuple[str, str]], criteria: str) -> Asked:
    """A create whose address has criteria, as fhirpy sends it, is conditional: never are they passed over."""
    if all(name in ("_format", "_pretty") for name, _ in pairs):
        return asked
    if asked.if_none_exist is not None:
        raise Fault("invalid", "criteria in the address and in If-None-Exist; expected one of them", "If-None-Exist")
    kept = [one for one in criteria.split("&") if one.partition("=")[0] not in ("_format", "_pretty")]
    return replace(asked, if_none_exist="&".join(kept))


def request_id(request: Received) -> str:
    """The request's own id, or a new one where it has none that can be echoed."""
    known: str | None = request.environ.get("registry.request_id")
    if known is None:
        given = request.headers.get("X-Request-Id", "")
        echoed = given and len(given) <= 128 and given.isascii() and given.isprintable()
        known = request.environ["registry.request_id"] = given if echoed else str(uuid.uuid4())
    return known


def body(request: Received, most: int) -> bytes:
    """The request's content, read no further than allowed. Raises Fault too-costly."""
    if (request.content_length or 0) > most:
        raise Fault("too-costly", f"the request is too large; expected at most {most} bytes")
    content: bytes = request.stream.read(most + 1)
    if len(content) > most:
        raise Fault("too-costly", f"the request is too large; expected at most {most} bytes")
    return content


def resource(request: Received, most: int) -> dict[str, Any]:
    """The resource that was sent, JSON or XML."""
    kind = negotiation.request_format(request.content_type)
    content = body(request, most)
    return xml.from_xml(content) if kind == negotiation.XML else parse(content, most)


def parameters(request: Request, pairs: Sequence[tuple[str, str]], most: int) -> list[tuple[str, str]]:
    """The parameters of an operation whose parameters are simple: from the address, and from a Parameters resource."""
    found = list(pairs)
    if request.method == "POST" and request.content_length:
        for one in resource(request, most).get("parameter") or ():
            if isinstance(one, dict) and isinstance(one.get("name"), str):
                found += [(one["name"], str(value)) for key, value in one.items() if key.startswith("value")]
    return found


def patch(request: Request, most: int) -> tuple[str, Any]:
    """("json", operations), ("merge", elements) or ("fhirpath", Parameters)."""
    kind = negotiation.patch_format(request.content_type)
    content = body(request, most)
    if kind == "json-patch":
        return "json", lossless.load(content, most)
    if kind == negotiation.XML:
        return "fhirpath", xml.from_xml(content)
    if kind == negotiation.JSON:
        return "fhirpath", parse(content, most)
    changes = lossless.load(content, most)
    is_parameters = isinstance(changes, dict) and changes.get("resourceType") == "Parameters"
    return ("fhirpath" if is_parameters and kind == "either" else "merge"), changes


def rendered(request: Received, answer: Answer) -> Reply:
    """The answer in the format that was asked for."""
    content, headers = answer.body, dict(answer.headers)
    if content is not None:
        kind = negotiation.response_format(request.headers.get("Accept"), request.args.get("_format"))
        if kind == negotiation.XML:
            content = xml.to_xml(lossless.load(content, 1 << 30))
        elif request.args.get("_pretty") == "true":
            content = _pretty(content)
        headers["Content-Type"] = negotiation.CONTENT_TYPES[kind]
    return Reply(answer.status, headers, content or b"")


def as_response(reply: Reply) -> Response:
    """The same for Flask."""
    response = Response(reply.body, reply.status)
    response.headers.clear()
    response.headers.update(reply.headers)
    return response


def respond(request: Request, answer: Answer) -> Response:
    """The answer in the format that was asked for, for Flask."""
    return as_response(rendered(request, answer))


def finish(request: Received, headers: Headers | dict[str, str]) -> None:
    """The headers that every answer below the base has."""
    headers["X-Request-Id"] = request_id(request)
    correlation = request.headers.get("X-Correlation-Id", "")
    if 0 < len(correlation) <= 128 and correlation.isascii() and correlation.isprintable():
        headers["X-Correlation-Id"] = correlation
    headers.setdefault("Cache-Control", "no-store")
    headers["X-Content-Type-Options"] = "nosniff"


def _pretty(content: bytes) -> bytes:
    loaded = json.loads(content, parse_float=Decimal)
    return orjson.dumps(loaded, option=orjson.OPT_INDENT_2, default=lambda number: orjson.Fragment(str(number)))
