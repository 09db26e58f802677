"""One entry of a batch or transaction as data: what it asks, and all that is wrong with how it asks.

https://hl7.org/fhir/R4/http.html#transaction and https://hl7.org/fhir/R4/bundle.html (bdl-3, bdl-8)
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Container
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import unquote

from app.fhir import lossless
from app.fhir.faults import shown
from app.fhir.outcome import Fault, Issue
from app.fhir.reference import ID

METHODS = ("DELETE", "POST", "PUT", "PATCH", "GET")
JSON_PATCH = "application/json-patch+json"


@dataclass(frozen=True, slots=True)
class Entry:
    """What one entry asks. `index` is its place in the Bundle, whatever the order of processing.

    `path` are the decoded segments of the URL below the base, `query` what follows its question mark. `type` and `id`
    are what the path begins with; `criteria` is the query of a conditional create, update, patch or delete; `operation`
    a name that begins with `$`. `patch` is ("json", operations) or ("fhirpath", Parameters). `issues` holds what is
    wrong, each with its expression; an entry that has any must not be processed.
    """

    index: int
    method: str = ""
    path: tuple[str, ...] = ()
    query: str = ""
    type: str | None = None
    id: str | None = None
    criteria: str | None = None
    operation: str | None = None
    full_url: str | None = None
    resource: dict[str, Any] | None = None
    patch: tuple[str, Any] | None = None
    if_match: str | None = None
    if_none_match: str | None = None
    if_modified_since: str | None = None
    issues: tuple[Issue, ...] = ()

    @property
    def expression(self) -> str:
        return f"Bundle.entry[{self.index}]"

    @property
    def fault(self) -> Fault | None:
        if not self.issues:
            return None
        return Fault("invalid", self.issues[0].text, self.issues[0].expression, issues=self.issues)


class _Reader:
    """Reads the parts of one entry, and keeps the issues."""

    def __init__(self, index: int) -> None:
        self.expression = f"Bundle.entry[{index}]"
        self.issues: list[Issue] = []

    def wrong(self, text: str, place: str = "", code: str = "invalid") -> None:
        self.issues.append(Issue(code, text, f"{self.expression}.{place}" if place else self.expression))

    def text(self, holder: dict[str, Any], name: str, place: str) -> str | None:
        value = holder.get(name)
        if value is None or (isinstance(value, str) and value):
            return value
        self.wrong(f"{name} is not text; expected text", f"{place}{name}", "structure")
        return None


def read_entry(index: int, given: Any, base_url: str, types: Container[str]) -> Entry:
    """The entry `given`, which may be anything at all. `types` are the resource types that are held here."""
    reader = _Reader(index)
    if not isinstance(given, dict):
        reader.wrong("the entry is not an object; expected one with a request", code="structure")
        return Entry(index, issues=tuple(reader.issues))
    request = given.get("request")
    if not isinstance(request, dict):
        reader.wrong("no request; expected a method and a url", "request", "required")
        request = {}
    resource = given.get("resource")
    if resource is not None and not (isinstance(resource, dict) and isinstance(resource.get("resourceType"), str)):
        reader.wrong("not a resource; expected an object with a resourceType", "resource", "structure")
        resource = None
    full_url = reader.text(given, "fullUrl", "")
    if full_url and "/_history/" in full_url:
        reader.wrong("fullUrl names a version; expected the address of the resource", "fullUrl")
    method = _method(reader, request)
    url = reader.text(request, "url", "request.") or ""
    if request and "url" not in request:
        reader.wrong("no url; expected one relative to the base", "request.url", "required")
    path, query = _split(reader, url, base_url)
    kind, id, operation = _target(reader, path, types)
    criteria = query or None
    if method == "POST":
        criteria = reader.text(request, "ifNoneExist", "request.")
        criteria = criteria.removeprefix("?") if criteria else None
    elif "ifNoneExist" in request:
        reader.wrong(f"ifNoneExist with {method or 'no method'}; expected it with POST only", "request.ifNoneExist")
    entry = Entry(
        index=index,
        method=method,
        path=path,
        query=query,
        type=kind,
        id=id,
        criteria=criteria if method != "GET" else None,
        operation=operation,
        full_url=full_url,
        resource=resource,
        patch=_patch(reader, resource) if method == "PATCH" and resource is not None else None,
        if_match=reader.text(request, "ifMatch", "request."),
        if_none_match=reader.text(request, "ifNoneMatch", "request."),
        if_modified_since=reader.text(request, "ifModifiedSince", "request."),
    )
    if method and url and (path or method == "GET") and not reader.issues:
        _check(reader, entry)
    return replace(entry, issues=tuple(reader.issues))


def _method(reader: _Reader, request: dict[str, Any]) -> str:
    method = reader.text(request, "method", "request.")
    if method in METHODS:
        return method
    if method is not None:
        reader.wrong(
            f"the method {shown(method)} is not supported; expected one of {', '.join(METHODS)}",
            "request.method",
            "not-supported",
        )
    elif request and "method" not in request:
        reader.wrong(f"no method; expected one of {', '.join(METHODS)}", "request.method", "required")
    return ""


def _split(reader: _Reader, url: str, base_url: str) -> tuple[tuple[str, ...], str]:
    """The segments of the path below the base, and the query."""
    root = base_url.rstrip("/") + "/"
    if base_url and url.startswith(root):
        url = url[len(root) :]
    path, _, query = url.partition("?")
    if "#" in url or ":" in path.partition("/")[0] or path.startswith("//"):
        reader.wrong("the url is not below this server's base; expected one relative to it", "request.url")
        return (), ""
    segments = tuple(unquote(part) for part in path.strip("/").split("/")) if path.strip("/") else ()
    if any(part in ("", ".", "..") or "/" in part for part in segments):
        reader.wrong("the url has an empty or relative step; expected a path like Patient/1", "request.url")
        return (), ""
    return segments, query


def _target(reader: _Reader, path: tuple[str, ...], types: Container[str]) -> tuple[str | None, str | None, str | None]:
    """The type, id and operation that a path names; None for what it does not name."""
    if not path:
        return None, None, None
    operation = path[-1] if path[-1].startswith("$") else None
    kind = path[0] if path[0][0].isupper() else None
    if kind is None:
        if path[0] not in ("metadata", "_history", operation):
            reader.wrong("the url begins with no resource type; expected one like Patient/1", "request.url")
        return None, None, operation
    if kind not in types:
        reader.wrong(f"the type {shown(kind)} is not held here; expected one that is", "request.url", "not-supported")
        return None, None, operation
    if len(path) == 1 or path[1].startswith(("$", "_")):
        return kind, None, operation
    if ID.match(path[1]) is None:
        reader.wrong("the url holds no valid id; expected 1 to 64 letters, digits, - and .", "request.url", "value")
        return kind, None, operation
    return kind, path[1], operation


def _patch(reader: _Reader, resource: dict[str, Any]) -> tuple[str, Any] | None:
    """A FHIRPath patch is a Parameters, a JSON patch is the data of a Binary, http.html#patch."""
    if resource["resourceType"] == "Parameters":
        return "fhirpath", resource
    if resource["resourceType"] != "Binary":
        reader.wrong("a patch that is neither Parameters nor Binary; expected one of them", "resource")
        return None
    content_type, data = resource.get("contentType"), resource.get("data")
    if content_type != JSON_PATCH or not isinstance(data, str):
        reader.wrong(f"a Binary that is no patch; expected contentType {JSON_PATCH} and data", "resource")
        return None
    try:
        return "json", lossless.load(base64.b64decode("".join(data.split()), validate=True))
    except (binascii.Error, ValueError):
        reader.wrong("data is not base64; expected a JSON patch in base64", "resource.data", "value")
    except Fault as fault:
        reader.wrong(fault.text, "resource.data", "structure")
    return None


def _check(reader: _Reader, entry: Entry) -> None:
    """What each method needs, once its parts are readable."""
    if entry.method in ("GET", "DELETE"):
        if entry.resource is not None:
            reader.wrong(f"a resource with {entry.method}; expected none", "resource")
    elif entry.resource is None and not (entry.operation and entry.method == "POST"):
        reader.wrong(f"no resource; expected one with {entry.method}", "resource", "required")
    if entry.method == "GET":
        return
    if entry.operation is not None:
        if entry.method != "POST":
            reader.wrong(f"an operation with {entry.method}; expected POST or GET", "request.method")
        return
    if entry.method == "POST":
        if len(entry.path) > 1 or entry.query:
            reader.wrong("POST to more than a type; expected a url like Patient", "request.url")
    elif len(entry.path) > 2 or entry.path[0] in ("metadata", "_history") or (len(entry.path) == 2 and not entry.id):
        reader.wrong(f"{entry.method} to what is no resource; expected a url like Patient/1", "request.url")
    elif (entry.id is None) == (entry.criteria is None):
        reader.wrong(f"{entry.method} needs either an id or criteria; expected one of them", "request.url")
    if reader.issues or entry.resource is None or entry.method == "PATCH":
        return
    if entry.resource["resourceType"] != entry.type:
        reader.wrong("the resource is of another type than the url; expected the same", "resource")
    elif entry.method == "PUT" and entry.id is not None and entry.resource.get("id") != entry.id:
        reader.wrong("the resource's id is not that of the url; expected the same", "resource.id")
