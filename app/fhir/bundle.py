"""Bundles put together from stored bytes: the resources in them are spliced in, never parsed.

https://hl7.org/fhir/R4/bundle.html
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from app.fhir.lossless import dump
from app.fhir.temporal import format_instant

Link = tuple[str, str]  # relation, URL


class Hit(NamedTuple):
    """An entry of a search: the resource's address, its stored bytes, and why it is here: match | include."""

    full_url: str
    content: bytes
    mode: str = "match"


class Version(NamedTuple):
    """An entry of a history. `content` is None where the version is a deletion. `updated` in microseconds UTC.

    `method` is what made it: POST, PUT, PATCH or DELETE; `url` what was asked, relative to the base: `Patient/1`.
    """

    full_url: str
    content: bytes | None
    method: str
    url: str
    version: int | str
    updated: int


class Response(NamedTuple):
    """What became of one entry of a batch or transaction; `outcome` is an OperationOutcome as bytes."""

    status: int
    content: bytes | None = None
    full_url: str | None = None
    location: str | None = None
    etag: str | None = None
    last_modified: int | None = None
    outcome: bytes | None = None


STATUS = {
    200: "200 OK",
    201: "201 Created",
    202: "202 Accepted",
    204: "204 No Content",
    304: "304 Not Modified",
    400: "400 Bad Request",
    401: "401 Unauthorized",
    403: "403 Forbidden",
    404: "404 Not Found",
    405: "405 Method Not Allowed",
    406: "406 Not Acceptable",
    409: "409 Conflict",
    410: "410 Gone",
    412: "412 Precondition Failed",
    413: "413 Content Too Large",
    415: "415 Unsupported Media Type",
    422: "422 Unprocessable Content",
    429: "429 Too Many Requests",
    500: "500 Internal Server Error",
    503: "503 Service Unavailable",
}


def searchset(
    hits: Iterable[Hit | tuple[str, bytes, str]],
    *,
    links: Sequence[Link] = (),
    total: int | None = None,
    outcome: bytes | None = None,
    id: str | None = None,
    at: int | None = None,
) -> bytes:
    """A page of search results. `outcome`, an OperationOutcome as bytes, goes last with mode outcome."""
    entries = [
        b'{"fullUrl":%b,"resource":%b,"search":{"mode":"%b"}}' % (dump(url), content, mode.encode())
        for url, content, mode in hits
    ]
    if outcome is not None:
        entries.append(b'{"resource":%b,"search":{"mode":"outcome"}}' % outcome)
    return _bundle("searchset", entries, links=links, total=total, id=id, at=at)


def matched(entries: Sequence[bytes], total: int | None = None, at: int | None = None) -> bytes:
    """What an operation has found, each a whole entry with its score; `total` of them are matches."""
    return _bundle("searchset", list(entries), links=(), total=len(entries) if total is None else total, id=None, at=at)


def history(
    versions: Iterable[Version],
    *,
    links: Sequence[Link] = (),
    total: int | None = None,
    id: str | None = None,
    at: int | None = None,
) -> bytes:
    """Versions, newest first as they are given."""
    entries = []
    for one in versions:
        resource = b"" if one.content is None else b'"resource":%b,' % one.content
        status = {"POST": 201, "DELETE": 204}.get(one.method, 200)
        request = dump({"method": one.method, "url": one.url})
        answer = _response(Response(status, etag=f'W/"{one.version}"', last_modified=one.updated))
        url = dump(one.full_url)
        entries.append(b'{"fullUrl":%b,%b"request":%b,"response":%b}' % (url, resource, request, answer))
    return _bundle("history", entries, links=links, total=total, id=id, at=at)


def responses(kind: str, answers: Iterable[Response], *, links: Sequence[Link] = (), id: str | None = None) -> bytes:
    """The answer to a Bundle of type `kind` (batch or transaction), an entry for each of its entries, in its order."""
    entries = []
    for one in answers:
        url = b"" if one.full_url is None else b'"fullUrl":%b,' % dump(one.full_url)
        resource = b"" if one.content is None else b'"resource":%b,' % one.content
        entries.append(b'{%b%b"response":%b}' % (url, resource, _response(one)))
    return _bundle(f"{kind}-response", entries, links=links, id=id)


def collection(
    contents: Iterable[tuple[str | None, bytes]],
    *,
    kind: str = "collection",
    links: Sequence[Link] = (),
    id: str | None = None,
    identifier: tuple[str, str] | None = None,
    timestamp: int | None = None,
    at: int | None = None,
) -> bytes:
    """Resources together, (fullUrl, bytes) each. `kind` may be `document` or `message`, which need more of these."""
    entries = []
    for url, content in contents:
        full_url = b"" if url is None else b'"fullUrl":%b,' % dump(url)
        entries.append(b'{%b"resource":%b}' % (full_url, content))
    return _bundle(kind, entries, links=links, id=id, identifier=identifier, timestamp=timestamp, at=at)


def document(
    contents: Iterable[tuple[str, bytes]], *, identifier: tuple[str, str], timestamp: int, id: str | None = None
) -> bytes:
    """A document: the Composition first, then what it refers to. https://hl7.org/fhir/R4/documents.html"""
    return collection(contents, kind="document", identifier=identifier, timestamp=timestamp, id=id)


def _response(one: Response) -> bytes:
    head: dict[str, str] = {"status": STATUS.get(one.status, str(one.status))}
    if one.location is not None:
        head["location"] = one.location
    if one.etag is not None:
        head["etag"] = one.etag
    if one.last_modified is not None:
        head["lastModified"] = format_instant(one.last_modified)
    said = dump(head)
    return said if one.outcome is None else b'%b,"outcome":%b}' % (said[:-1], one.outcome)


def _bundle(
    kind: str,
    entries: Sequence[bytes],
    *,
    links: Sequence[Link] = (),
    total: int | None = None,
    id: str | None = None,
    identifier: tuple[str, str] | None = None,
    timestamp: int | None = None,
    at: int | None = None,
) -> bytes:
    head: dict[str, object] = {"resourceType": "Bundle"}
    if id is not None:
        head["id"] = id
    if at is not None:
        head["meta"] = {"lastUpdated": format_instant(at)}
    if identifier is not None:
        head["identifier"] = {"system": identifier[0], "value": identifier[1]}
    head["type"] = kind
    if timestamp is not None:
        head["timestamp"] = format_instant(timestamp)
    if total is not None:
        head["total"] = total
    if links:
        head["link"] = [{"relation": relation, "url": url} for relation, url in links]
    said = dump(head)
    if not entries:  # FHIR has no empty list
        return said
    return b'%b,"entry":[%b]}' % (said[:-1], b",".join(entries))
