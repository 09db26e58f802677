"""A Subscription as it is written: by criteria (https://hl7.org/fhir/R4/subscription.html) or by topic, as the R5
Backport guide carries topics in R4 (https://hl7.org/fhir/uv/subscriptions-backport/STU1.1/).

`read` gives what delivery needs, or every fault with its place. Nothing is asked of the network here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from app.fhir.faults import nearest
from app.fhir.matches import matches
from app.fhir.outcome import Fault, Issue
from app.fhir.query import Chain, Condition, Has, Query
from app.fhir.registry import TYPES
from app.fhir.search import parse
from app.fhir.temporal import interval
from app.fhir.topics import BY_NAME, TOPICS, Topic, has_events

BACKPORT = "http://hl7.org/fhir/uv/subscriptions-backport/StructureDefinition/"
CONTENTS = ("empty", "id-only", "full-resource")
FHIR_JSON = "application/fhir+json"
CLOUD_EVENTS = "application/cloudevents+json"
PAYLOADS = (FHIR_JSON, "application/json", CLOUD_EVENTS)
MOST_FILTERS = 16
MOST_HEADERS = 16
LONGEST = 2048
HEADER = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]{1,64}): ?([\x21-\x7e][\x20-\x7e]{0,1023})\Z")
# What the sender itself says, and what would put a secret into a resource that others read.
RESERVED = frozenset(
    {"host", "content-length", "content-type", "transfer-encoding", "connection", "upgrade", "te", "trailer", "expect"}
    | {
        "authorization",
        "proxy-authorization",
        "cookie",
        "x-registry-signature",
        "x-request-id",
        "traceparent",
        "tracestate",
    }
)


@dataclass(frozen=True, slots=True)
class Watch:
    """What a Subscription asks for. `queries`: an event must match one of them (none: all do). `content` is empty |
    id-only | full-resource; `cloud` for CloudEvents. Periods in seconds; `end` in microseconds UTC."""

    topic: Topic | None
    queries: tuple[Query, ...]
    endpoint: str
    content: str
    cloud: bool
    headers: tuple[tuple[str, str], ...]
    heartbeat: int | None
    timeout: int
    most: int
    end: int | None

    @property
    def type(self) -> str:
        """The type that an event is about."""
        return self.topic.resource if self.topic else self.queries[0].type

    def covers(self, resource: dict[str, Any], base_url: str, zone: str) -> bool:
        """Whether the filters let an event about `resource` through."""
        return not self.queries or any(
            matches(resource, query.where, base_url=base_url, zone=zone) for query in self.queries
        )


def read(resource: dict[str, Any], *, base_url: str, zone: str, at: int) -> Watch:
    """Raises Fault "unprocessable" with an issue for each fault."""
    faults: list[Issue] = []
    channel = resource.get("channel")
    channel = channel if isinstance(channel, dict) else {}
    criteria = resource.get("criteria")
    criteria = criteria if isinstance(criteria, str) else ""
    topic = TOPICS.get(criteria)
    queries: tuple[Query, ...] = ()
    if topic is not None:
        queries = tuple(_filters(resource, topic, faults, base_url, zone, at))
    elif criteria.startswith(("http://", "https://", "urn:")):
        faults.append(
            _issue("a topic that is not known", f"one of this server's: {nearest(criteria, TOPICS)}", "criteria")
        )
    else:
        queries = tuple(_query(criteria, "Subscription.criteria", faults, base_url, zone, at))
    if channel.get("type") != "rest-hook":
        faults.append(_issue("a channel that is not supported", "rest-hook", "channel.type"))
    payload = channel.get("payload")
    if payload is not None and payload not in PAYLOADS:
        faults.append(_issue("a payload that is not supported", f"one of {', '.join(PAYLOADS)}", "channel.payload"))
    watch = Watch(
        topic=topic,
        queries=queries,
        endpoint=_endpoint(channel.get("endpoint"), faults),
        content=_content(channel, topic, faults),
        cloud=payload == CLOUD_EVENTS,
        headers=tuple(_headers(channel.get("header") or (), faults)),
        heartbeat=_whole(channel, "backport-heartbeat-period", "valueUnsignedInt", 10, 86_400, faults),
        timeout=_whole(channel, "backport-timeout", "valueUnsignedInt", 1, 60, faults) or 10,
        most=_whole(channel, "backport-max-count", "valuePositiveInt", 1, 100, faults) or 1,
        end=_end(resource.get("end"), zone),
    )
    if faults:
        raise Fault("unprocessable", faults[0].text, faults[0].expression, issues=tuple(faults))
    return watch


def _issue(wrong: str, expected: str, place: str, code: str = "value") -> Issue:
    return Issue(code, f"{wrong}; expected {expected}", f"Subscription.{place}")


def extension(element: object, name: str) -> Iterator[dict[str, Any]]:
    """The extensions of an element that the Backport guide calls `name`."""
    found = element.get("extension") if isinstance(element, dict) else None
    for one in found if isinstance(found, list) else ():
        if isinstance(one, dict) and one.get("url") == BACKPORT + name:
            yield one


def _filters(
    resource: dict[str, Any], topic: Topic, faults: list[Issue], base_url: str, zone: str, at: int
) -> Iterator[Query]:
    stated = list(extension(resource.get("_criteria"), "backport-filter-criteria"))
    place = "Subscription.criteria.extension"
    if len(stated) > MOST_FILTERS:
        faults.append(_issue("more filters than are taken", f"at most {MOST_FILTERS}", "criteria.extension"))
        return
    for number, one in enumerate(stated):
        text = one.get("valueString")
        for query in _query(text if isinstance(text, str) else "", f"{place}[{number}]", faults, base_url, zone, at):
            if query.type != topic.resource:
                faults.append(
                    Issue("value", f"a filter on another type; expected one on {topic.resource}", f"{place}[{number}]")
                )
                continue
            unknown = [name for name in _named(query.where) if name not in topic.filters]
            for name in unknown:
                text = f"'{name}' is no filter of this topic; expected one of {', '.join(topic.filters)}"
                faults.append(Issue("value", text, f"{place}[{number}]"))
            if not unknown:
                yield query


def _query(text: str, place: str, faults: list[Issue], base_url: str, zone: str, at: int) -> Iterator[Query]:
    type_name, _, params = text.partition("?")
    if len(text) > LONGEST or type_name not in TYPES or "search-type" not in TYPES[type_name].interactions:
        expected = f"a search like ImagingStudy?status=available, or a topic ({', '.join(BY_NAME)})"
        faults.append(Issue("value", f"not a search of a type held here; expected {expected}", place))
        return
    if not has_events(type_name):
        faults.append(Issue("value", "this type has no events; expected one whose resources change", place))
        return
    try:
        query = parse(type_name, parse_qsl(params, keep_blank_values=True), base_url=base_url, zone=zone, at=at)
    except Fault as fault:
        faults.extend(Issue("value", issue.text, place) for issue in fault.issues)
        return
    shaping = [name for name, _ in query.applied if name.startswith("_") and name.split(":")[0] not in SELECTING]
    if shaping or query.includes or query.sort:
        faults.append(Issue("value", "parameters that shape an answer; expected ones that choose resources", place))
    elif any(isinstance(one, Chain | Has) for one in _flat(query.where)):
        faults.append(Issue("value", "chains and _has are not followed here; expected plain parameters", place))
    else:
        yield query


SELECTING = frozenset({"_id", "_tag", "_security", "_profile", "_source", "_lastUpdated"})


def _flat(conditions: Sequence[Condition]) -> Iterator[Condition]:
    for one in conditions:
        yield one
        yield from _flat(getattr(one, "parts", ()))


def _named(conditions: Sequence[Condition]) -> list[str]:
    return [one.param.name for one in _flat(conditions) if hasattr(one, "param")]


def _endpoint(stated: object, faults: list[Issue]) -> str:
    """Its form alone; whether its origin is allowed is for the settings to say, and its address for the sender."""
    try:
        parts = urlsplit(stated) if isinstance(stated, str) and stated.isascii() and stated.isprintable() else None
        good = parts is not None and parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        parts, good = None, False
    if not good or parts is None:
        faults.append(_issue("no address to notify", "an http or https URL", "channel.endpoint"))
        return ""
    if parts.username is not None or parts.password is not None or parts.fragment or len(str(stated)) > LONGEST:
        faults.append(_issue("an address with a user or fragment, or too long", "a plain URL", "channel.endpoint"))
        return ""
    return str(stated)


def _content(channel: dict[str, Any], topic: Topic | None, faults: list[Issue]) -> str:
    if topic is None:
        return "full-resource" if channel.get("payload") else "empty"
    stated = [one.get("valueCode") for one in extension(channel.get("_payload"), "backport-payload-content")]
    if not stated:
        return "id-only" if channel.get("payload") else "empty"
    if len(stated) > 1 or stated[0] not in CONTENTS:
        faults.append(_issue("no such payload content", f"one of {', '.join(CONTENTS)}", "channel.payload.extension"))
        return "empty"
    return str(stated[0])


def _headers(stated: Sequence[object], faults: list[Issue]) -> Iterator[tuple[str, str]]:
    if len(stated) > MOST_HEADERS:
        faults.append(_issue("more headers than are taken", f"at most {MOST_HEADERS}", "channel.header"))
        return
    for number, one in enumerate(stated):
        found = HEADER.match(one) if isinstance(one, str) else None
        if found is None:
            faults.append(_issue("not a header", "one line like `Name: value`", f"channel.header[{number}]"))
        elif found[1].lower() in RESERVED:
            faults.append(
                _issue("a header that may not be set", "one of your own", f"channel.header[{number}]", "forbidden")
            )
        else:
            yield found[1], found[2]


def _whole(channel: dict[str, Any], name: str, element: str, least: int, most: int, faults: list[Issue]) -> int | None:
    found = [one.get(element) for one in extension(channel, name)]
    if not found:
        return None
    if len(found) == 1 and isinstance(found[0], int) and least <= found[0] <= most:
        return found[0]
    faults.append(_issue(f"{name} cannot be used", f"{element} from {least} to {most}", "channel.extension"))
    return None


def _end(stated: object, zone: str) -> int | None:
    try:
        return interval(stated, zone)[0] if isinstance(stated, str) else None
    except ValueError:
        return None
