"""What each search condition means, said once to be read: the oracle for the SQL in storage.

https://hl7.org/fhir/R4/search.html. It looks at the resource itself and not at index rows, and prefers plain words to
speed. A parameter's *values* are what its paths lead to and what a search can name: text without a code, an empty
string, a contained or display-only reference, and a date that cannot be read are no values (the text can still be
found by `:text`).

A clause holds when some value satisfies some alternative. The exceptions are said here, where the standard leaves room:

`:not`      no value satisfies any alternative; a resource without a value satisfies it.
`:missing`  true: there is no value, and no text for `:text`; false: there is one.
`:text`     the display, the text of the concept or of the identifier's type begins with the words, normalised.
`eq`        the searched range contains the value's whole range.
`ne`        some value's range is not contained: a resource without a value does not satisfy it.
`gt` `lt`   some part of the value lies after, before the whole searched range.
`ge` `le`   `gt` or `eq`, `lt` or `eq`: a value that begins before the searched range and ends in it is not `ge`.
`sa` `eb`   the whole value lies after, before the whole searched range.
`ap`        the value overlaps the searched range, widened to both sides by a tenth of its distance to now.
A period without a start or end has no limit there. A number is one point: `eq` and `ap` are low <= value < high.

A reference is followed, in chains and `_has`, only where it is literal and to a resource that the resolver gives:
one that the caller may not see is no match.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Protocol

from app.fhir.matches_values import Span, concepts, contacts, identifiers, references, spans, strings
from app.fhir.query import AnyOf, Chain, Clause, Condition, Has, Param, Range, Reference, Text, Token, Typed, Value
from app.fhir.text import normalise


class Resolver(Protocol):
    """The resources that the caller may see."""

    def resource(self, type: str, id: str) -> dict[str, Any] | None:
        """One resource, or None."""

    def all(self, type: str) -> Iterable[dict[str, Any]]:
        """Every resource of a type."""


class Nothing:
    """A resolver that gives nothing: for conditions without chains and `_has`."""

    def resource(self, type: str, id: str) -> dict[str, Any] | None:
        return None

    def all(self, type: str) -> Iterable[dict[str, Any]]:
        return ()


def matches(
    resource: dict[str, Any],
    condition: Condition | Sequence[Condition],
    resolver: Resolver | None = None,
    *,
    base_url: str = "",
    zone: str = "Europe/London",
) -> bool:
    """Whether `condition` holds for `resource`; of several, whether all do."""
    judge = _Judge(resolver or Nothing(), base_url, zone)
    conditions = condition if isinstance(condition, Sequence) else (condition,)
    return all(judge.holds(resource, one) for one in conditions)


class _Judge:
    def __init__(self, resolver: Resolver, base_url: str, zone: str) -> None:
        self.resolver = resolver
        self.base_url = base_url
        self.zone = zone

    def holds(self, resource: dict[str, Any], condition: Condition) -> bool:
        match condition:
            case Clause():
                return self._clause(resource, condition)
            case AnyOf(parts):
                return any(self.holds(resource, part) for part in parts)
            case Chain(param, target, rest):
                return any(self.holds(found, rest) for found in self._targets(resource, param, target))
            case Has(type, param, rest):
                return any(
                    self._refers(other, param, resource) and self.holds(other, rest)
                    for other in self.resolver.all(type)
                )

    def _targets(self, resource: dict[str, Any], param: Param, target: str) -> Iterator[dict[str, Any]]:
        for kind, id, _, _, _ in references(resource, param, self.base_url):
            if kind == target and id:
                found = self.resolver.resource(kind, id)
                if found is not None:
                    yield found

    def _refers(self, other: dict[str, Any], param: Param, resource: dict[str, Any]) -> bool:
        here = (resource.get("resourceType"), resource.get("id"))
        return any((kind, id) == here for kind, id, *_ in references(other, param, self.base_url))

    def _clause(self, resource: dict[str, Any], clause: Clause) -> bool:
        if clause.modifier == "missing":
            return clause.values == (True,) if not self._present(resource, clause.param) else clause.values == (False,)
        found = any(self._one(resource, clause, value) for value in clause.values)
        return not found if clause.modifier == "not" else found

    def _present(self, resource: dict[str, Any], param: Param) -> bool:
        match param.kind:
            case "token" if param.shape == "identifier":
                return any(code or text for _, code, _, text in identifiers(resource, param))
            case "token":
                return any(code or text for _, code, text in self._codes(resource, param))
            case "reference":
                return any(True for _ in references(resource, param, self.base_url))
            case "date" | "number":
                return any(True for _ in spans(resource, param, self.zone))
            case _:
                return any(True for _ in strings(resource, param))

    def _codes(self, resource: dict[str, Any], param: Param) -> Iterator[tuple[str | None, str | None, str | None]]:
        return contacts(resource, param) if param.shape == "contact" else concepts(resource, param)

    def _one(self, resource: dict[str, Any], clause: Clause, value: Value) -> bool:
        """Whether some value of the parameter satisfies one alternative."""
        param, modifier = clause.param, clause.modifier
        match value:
            case Token(system, code) if modifier == "identifier":
                logical = ((found[3], found[4]) for found in references(resource, param, self.base_url))
                return any(_token(system, code, *pair) for pair in logical)
            case Token(system, code) if param.shape == "identifier":
                return any(_token(system, code, s, c) for s, c, _, _ in identifiers(resource, param))
            case Token(system, code):
                return any(_token(system, code, s, c) for s, c, _ in self._codes(resource, param))
            case Typed():
                return any(
                    code == value.value and (value.system, value.code) in kinds
                    for _, code, kinds, _ in identifiers(resource, param)
                )
            case Reference():
                return any(_same(value, *found[:3]) for found in references(resource, param, self.base_url))
            case Range():
                return any(_compare(value, span, param.kind) for span in spans(resource, param, self.zone))
            case Text(text) if modifier == "text":
                return any(_begins(said, text) for said in self._texts(resource, param))
            case Text(text) if param.kind == "uri":
                return any(text in (said, said.partition("|")[0]) for said in strings(resource, param))
            case Text(text) if modifier == "exact":
                return any(said == text for said in strings(resource, param))
            case Text(text) if modifier == "contains":
                return any(normalise(text) in normalise(said) for said in strings(resource, param))
            case Text(text):
                return any(_begins(said, text) for said in strings(resource, param))
            case _:
                return False

    def _texts(self, resource: dict[str, Any], param: Param) -> Iterator[str]:
        if param.shape == "identifier":
            yield from (text for *_, text in identifiers(resource, param) if text)
        else:
            yield from (text for *_, text in self._codes(resource, param) if text)


def _begins(said: str, text: str) -> bool:
    return normalise(said).startswith(normalise(text))


def _token(asked_system: str | None, asked_code: str | None, system: str | None, code: str | None) -> bool:
    if code is None or (asked_code is not None and asked_code != code):
        return False
    if asked_system is None:
        return True
    return system is None if asked_system == "" else system == asked_system


def _same(asked: Reference, kind: str | None, id: str | None, url: str | None) -> bool:
    if asked.url is not None:
        return url is not None and asked.url in (url, url.partition("|")[0])
    return id is not None and id == asked.id and asked.type in (None, kind)


def _compare(asked: Range, span: Span, kind: str) -> bool:
    """The nine prefixes, https://hl7.org/fhir/R4/search.html#prefix."""
    low, high = span
    if kind == "number":
        assert low is not None  # a number has no open side
        within = asked.low <= low < asked.high
        above, below = low > asked.high, low < asked.low
        exactly = low == asked.low
        return {
            "eq": within,
            "ne": not within,
            "ap": within,
            "gt": above,
            "lt": below,
            "ge": above or exactly,
            "le": below or exactly,
        }[asked.prefix]
    within = low is not None and high is not None and asked.low <= low and high <= asked.high
    above = high is None or high > asked.high
    below = low is None or low < asked.low
    match asked.prefix:
        case "eq":
            return within
        case "ne":
            return not within
        case "gt":
            return above
        case "lt":
            return below
        case "ge":
            return above or within
        case "le":
            return below or within
        case "sa":
            return low is not None and low >= asked.high
        case "eb":
            return high is not None and high <= asked.low
        case _:
            return (low is None or low < asked.high) and (high is None or high > asked.low)
