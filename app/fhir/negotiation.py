"""What the headers of a request ask: format, preferences, versions and dates, as plain values.

https://hl7.org/fhir/R4/http.html#general, RFC 9110 (Accept, ETag, dates), RFC 7240 (Prefer)
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC
from email.utils import formatdate, parsedate_to_datetime
from functools import lru_cache

from app.fhir.outcome import Fault
from app.fhir.temporal import SECOND

JSON, XML = "json", "xml"
CONTENT_TYPES = {JSON: "application/fhir+json; charset=utf-8", XML: "application/fhir+xml; charset=utf-8"}
JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"
FORM = "application/x-www-form-urlencoded"

# Every name of the two formats, the ones preferred first.
_MEDIA_TYPES = {
    "application/fhir+json": JSON,
    "application/json": JSON,
    "text/json": JSON,
    "application/json+fhir": JSON,
    "application/fhir+xml": XML,
    "application/xml": XML,
    "text/xml": XML,
    "application/xml+fhir": XML,
}
_FORMATS = _MEDIA_TYPES | {"json": JSON, "xml": XML}
_EXPECTED = "expected application/fhir+json or application/fhir+xml"
_VERSIONS = ("4.0", "4.0.1", "r4")
_CHARSETS = ("utf-8", "utf8", "us-ascii", "ascii")

_LIST = re.compile(r'((?:[^,"]|"(?:[^"\\]|\\.)*"?)+)')
_PARTS = re.compile(r'((?:[^;"]|"(?:[^"\\]|\\.)*"?)+)')
_TAG = re.compile(r'\s*(W/)?"([^"\x00-\x1f]*)"\s*(?:,|\Z)')
_QUALITY = re.compile(r"(?:0(?:\.\d{0,3})?|1(?:\.0{0,3})?)\Z", re.ASCII)


@dataclass(frozen=True, slots=True)
class Preference:
    """`Prefer`: what to return (minimal | representation | OperationOutcome) and how to handle what is not known
    (strict | lenient). None where nothing, or nothing known, was asked. `addresses`: with capability addresses (SMART
    Imaging Access)."""

    returns: str | None = None
    handling: str | None = None
    addresses: bool = False

    @property
    def lenient(self) -> bool:
        return self.handling == "lenient"


@lru_cache(maxsize=256)
def response_format(accept: str | None, format: str | None = None) -> str:
    """`json` or `xml`: as `_format` says if it is given, else as `Accept` ranks them. Raises Fault not-acceptable."""
    if format:
        # A plus sign in a query is a space once decoded; nobody means a space here.
        name, parameters = _media(format.strip().replace(" ", "+"))
        found = _FORMATS.get(name)
        if found is None or not _right_version(parameters):
            raise Fault("not-acceptable", f"_format is not supported; {_EXPECTED}", "_format")
        return found
    ranges = [_media(part) for part in _LIST.findall(accept or "")]
    ranges = [(name, parameters) for name, parameters in ranges if name]
    if not ranges:
        return JSON
    best: tuple[float, int, str] | None = None
    for media, kind in _MEDIA_TYPES.items():
        quality, position = _rank(media, ranges)
        if quality > 0 and (best is None or (quality, -position) > (best[0], -best[1])):
            best = quality, position, kind
    if best is None:
        raise Fault("not-acceptable", f"nothing in Accept is supported; {_EXPECTED}")
    return best[2]


def request_format(content_type: str | None) -> str:
    """`json` or `xml`, the format of the content that was sent. Raises Fault media-type."""
    name, parameters = _media(content_type or "")
    found = _MEDIA_TYPES.get(name)
    if found is None:
        what = "no Content-Type" if not name else "the Content-Type is not supported"
        raise Fault("media-type", f"{what}; {_EXPECTED}")
    _check_parameters(parameters)
    return found


def patch_format(content_type: str | None) -> str:
    """`json-patch`, `merge-patch`, the format of a FHIRPath patch (`json` or `xml`), or `either` of merge-patch and
    FHIRPath for plain JSON, which fhirpy sends. Raises Fault media-type."""
    name, parameters = _media(content_type or "")
    if name in (JSON_PATCH, MERGE_PATCH, "application/json"):
        _check_parameters(parameters)
        return {JSON_PATCH: "json-patch", MERGE_PATCH: "merge-patch"}.get(name, "either")
    if name not in _MEDIA_TYPES:
        known = f"{_EXPECTED} with Parameters, {JSON_PATCH} or {MERGE_PATCH}"
        raise Fault("media-type", f"no patch in this Content-Type; {known}")
    return request_format(content_type)


def is_form(content_type: str | None) -> bool:
    """Whether what was sent is a form, as for POST to _search."""
    return _media(content_type or "")[0] == FORM


@lru_cache(maxsize=256)
def prefer(header: str | None) -> Preference:
    """The preferences that this server knows; others, `respond-async` too, are ignored, RFC 7240 section 2."""
    said: dict[str, str] = {}
    for part in _LIST.findall(header or ""):
        name, _, value = part.partition(";")[0].partition("=")
        said.setdefault(name.strip().lower(), value.strip().strip('"'))
    returns = next(
        (one for one in ("minimal", "representation", "OperationOutcome") if one == said.get("return")), None
    )
    handling = next((one for one in ("strict", "lenient") if one == said.get("handling")), None)
    return Preference(returns, handling, "capability-addresses" in said)


def etag(version: int | str) -> str:
    """The entity tag of a version."""
    return f'W/"{version}"'


def entity_tags(header: str | None, name: str) -> tuple[str, ...]:
    """The versions that If-Match or If-None-Match lists, `*` for any; () without the header. Raises Fault invalid."""
    if header is None or not header.strip():
        return ()
    if header.strip() == "*":
        return ("*",)
    tags, at = [], 0
    while at < len(header):
        found = _TAG.match(header, at)
        if found is None:
            raise Fault("invalid", f'{name} is not an entity tag; expected one like W/"3"')
        tags.append(found[2])
        at = found.end()
    return tuple(tags)


def check_if_match(header: str | None, version: int | str | None) -> None:
    """Raises Fault version-conflict unless If-Match, where given, lists the current `version` (None: no resource)."""
    tags = entity_tags(header, "If-Match")
    if not tags or (version is not None and ("*" in tags or str(version) in tags)):
        return
    now = "there is none" if version is None else f'it is W/"{version}" now'
    raise Fault("version-conflict", f"If-Match names another version; {now}, expected the current one")


def not_modified(if_none_match: str | None, if_modified_since: str | None, version: int | str, updated: int) -> bool:
    """Whether a read is answered 304. If-None-Match goes before If-Modified-Since, RFC 9110 section 13.1.3."""
    tags = entity_tags(if_none_match, "If-None-Match")
    if tags:
        return "*" in tags or str(version) in tags
    since = http_date(if_modified_since)
    return since is not None and updated // SECOND * SECOND <= since


def http_date(text: str | None) -> int | None:
    """An HTTP date in microseconds UTC; None for none and, as RFC 9110 has it, for what cannot be read."""
    if not text or len(text) > 64 or not text.isascii():
        return None
    try:
        moment = parsedate_to_datetime(text)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        return int(moment.timestamp()) * SECOND
    except (ValueError, TypeError, OverflowError, IndexError):
        return None


def format_http_date(at: int) -> str:
    """`at` as Last-Modified writes it."""
    return formatdate(at // SECOND, usegmt=True)


def _media(text: str) -> tuple[str, dict[str, str]]:
    """A media type or range, in lower case, and its parameters."""
    name, *rest = _PARTS.findall(text) or [""]
    parameters = {}
    for part in rest:
        key, _, value = part.partition("=")
        parameters[key.strip().lower()] = value.strip().strip('"').lower()
    return name.strip().lower(), parameters


def _right_version(parameters: dict[str, str]) -> bool:
    return parameters.get("fhirversion", "4.0") in _VERSIONS


def _rank(media: str, ranges: list[tuple[str, dict[str, str]]]) -> tuple[float, int]:
    """How much `media` is wanted, by the range that fits it most closely, and that range's place in the list."""
    group = media.partition("/")[0] + "/*"
    best: tuple[int, float, int] = (0, 0.0, 0)
    for position, (name, parameters) in enumerate(ranges):
        closeness = 3 if name == media else 2 if name == group else 1 if name in ("*/*", "*") else 0
        if closeness > best[0] and _right_version(parameters):
            best = closeness, _quality(parameters.get("q")), position
    return best[1], best[2]


def _quality(text: str | None) -> float:
    if text is None:
        return 1.0
    return float(text) if _QUALITY.match(text) else 0.0


def _check_parameters(parameters: dict[str, str]) -> None:
    if parameters.get("charset", "utf-8") not in _CHARSETS:
        raise Fault("media-type", "the charset is not supported; expected utf-8")
    if not _right_version(parameters):
        raise Fault("media-type", "the fhirVersion is not supported; expected 4.0")
