"""A search as it arrives, read into a Query: strict, unless lenient handling was asked for.

https://hl7.org/fhir/R4/search.html. GET and POST _search are the same to this module: pairs of name and value.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from app.fhir import search_results as results
from app.fhir.faults import TooMuch, Wrong, nearest, shown
from app.fhir.outcome import KINDS, Fault, Issue
from app.fhir.query import Condition, Include, Query
from app.fhir.registry import TYPES
from app.fhir.search_names import condition, held, in_compartment
from app.fhir.search_values import Context, ValueSets

MAX_PARAMETERS = 64
MAX_NAME = 256

# The parameters that are not about the resources, and each may be given once.
_ONCE: dict[str, Callable[[str, str], Any]] = {
    "_sort": results.sort,
    "_count": lambda type_name, value: results.count(value),
    "_total": lambda type_name, value: results.one_of("_total", value, results.TOTALS),
    "_summary": lambda type_name, value: results.one_of("_summary", value, results.SUMMARIES),
    "_elements": lambda type_name, value: results.elements(value),
    "_cursor": lambda type_name, value: results.cursor(value),
}
_INCLUDES = ("_include", "_revinclude")
SHAPING = frozenset((*_ONCE, *_INCLUDES))


def parse(
    type: str,
    params: Sequence[tuple[str, str]],
    *,
    lenient: bool = False,
    base_url: str = "",
    zone: str = "Europe/London",
    compartment: tuple[str, str] | None = None,
    at: int,
    valuesets: ValueSets | None = None,
) -> Query:
    """The Query that `params` ask of `type`, https://hl7.org/fhir/R4/search.html.

    `at` is now, for `ap`. `valuesets` maps the URL of a value set to its (system, code) pairs, for `:in`. Raises
    Fault "invalid" with one issue for each fault; with `lenient` a parameter that is at fault is dropped and its fault
    stands in `ignored` instead, unless the query is larger than is taken.
    """
    try:
        reading = _Reading(held(type), Context(at, base_url, zone, valuesets or {}))
        _bounded(params)
        if compartment is not None:
            reading.where.append(in_compartment(type, compartment))
        for name, value in params:
            reading.take(name, value)
        reading.settle()
    except Wrong as wrong:
        raise _fault([str(wrong)]) from None
    if reading.faults and not lenient:
        raise _fault(reading.faults)
    return reading.query()


class _Reading:
    """A query while its parameters are read, one after the other."""

    def __init__(self, type_name: str, context: Context) -> None:
        self.type = type_name
        self.context = context
        self.where: list[Condition] = []
        self.controls: dict[str, Any] = {}
        self.includes: list[tuple[Include, tuple[str, str]]] = []
        self.applied: list[tuple[str, str]] = []
        self.faults: list[str] = []

    def take(self, name: str, value: str) -> None:
        """One parameter: understood, passed over or at fault."""
        if name in results.ELSEWHERE:
            return
        try:
            self._understand(name, value)
        except TooMuch as much:
            raise TooMuch(_within(name, much)) from None
        except Wrong as wrong:
            self.faults.append(_within(name, wrong))

    def _understand(self, name: str, value: str) -> None:
        base, colon, _ = name.partition(":")
        if base in _INCLUDES:
            self.includes.append((results.include(self.type, name, value), (name, value)))
        elif base in _ONCE:
            if colon:
                raise Wrong(f"a modifier on {shown(base)}: expected none")
            if base in self.controls:
                raise Wrong(f"{shown(base)} is given more than once: expected it once")
            self.controls[base] = _ONCE[base](self.type, value)
            if base == "_count":
                value = str(self.controls[base])
            if base == "_cursor":
                return
        else:
            self.where.append(self._condition(name, value))
        self.applied.append((name, value))

    def _condition(self, name: str, value: str) -> Condition:
        base = name.partition(".")[0].partition(":")[0]
        if base.startswith("_") and base != "_has" and base not in TYPES[self.type].params:
            known = (*_ONCE, *_INCLUDES, "_has", *TYPES[self.type].params)
            raise Wrong(f"the search parameter {shown(base)} is not supported: {nearest(base, known)}")
        return condition(self.type, name, value, self.context)

    def settle(self) -> None:
        """What can be judged only when all parameters are known."""
        reached = results.reached(one for one, _ in self.includes)
        for one, pair in list(self.includes):
            try:
                results.check_include(self.type, one, reached)
                if self.controls.get("_summary") == "text":
                    raise Wrong(f'{shown(pair[0])} with "_summary=text": expected one of the two')
            except Wrong as wrong:
                self.includes.remove((one, pair))
                self.applied.remove(pair)
                self.faults.append(_within(pair[0], wrong))

    def query(self) -> Query:
        count = self.controls.get("_count", results.DEFAULT_COUNT)
        return Query(
            type=self.type,
            where=tuple(self.where),
            sort=self.controls.get("_sort", ()),
            count=count,
            total=self.controls.get("_total", "none"),
            summary=self.controls.get("_summary") if count else "count",
            elements=self.controls.get("_elements", ()),
            includes=tuple(dict.fromkeys(one for one, _ in self.includes)),
            cursor=self.controls.get("_cursor"),
            applied=tuple(self.applied),
            ignored=tuple(self.faults),
        )


def _within(name: str, wrong: Wrong) -> str:
    """The fault in words that name the parameter."""
    text = str(wrong)
    base = name.partition(":")[0]
    return text if shown(name) in text or shown(base) in text else f"in {shown(name)}: {text}"


def _bounded(params: Sequence[tuple[str, str]]) -> None:
    if len(params) > MAX_PARAMETERS:
        raise TooMuch(f"a query of {len(params)} parameters: at most {MAX_PARAMETERS} are taken")
    if any(len(name) > MAX_NAME for name, _ in params):
        raise TooMuch(f"the name of a parameter is too long: at most {MAX_NAME} characters are taken")


def _fault(texts: Sequence[str]) -> Fault:
    code = KINDS["invalid"][1]
    return Fault("invalid", texts[0], issues=tuple(Issue(code, text) for text in texts))
