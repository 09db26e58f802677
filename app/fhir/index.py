"""What a search may find in a resource, as rows: the paths of the table walked once, values laid out by kind.

https://hl7.org/fhir/R4/search.html. Anything that has not the shape the table expects is passed over: `extract` never
raises, whatever JSON it is given. `_id` and `_lastUpdated` give no rows, storage has columns for them.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any, NamedTuple

from app.fhir.index_values import Emit, Sink, emitter
from app.fhir.query import Index, Param
from app.fhir.registry import TYPES
from app.fhir.text import normalise

__all__ = ["Index", "extract", "normalise"]

_COLUMNS = ("_id", "_lastUpdated")


class Step(NamedTuple):
    """One name of a path: what is told of the elements there, what is asked of them, and which names follow."""

    emits: tuple[Emit, ...]
    filtered: tuple[tuple[str, str, Emit], ...]
    follow: tuple[tuple[str, Step], ...]


def extract(resource: dict[str, Any], *, base_url: str = "", zone: str = "Europe/London") -> Index:
    """The index rows of `resource`. `base_url` makes references to this server local; `zone` reads local times."""
    kind = resource.get("resourceType") if isinstance(resource, dict) else None
    if not isinstance(kind, str) or kind not in TYPES:
        return Index()
    sink = Sink(base_url, zone)
    _walk(_compiled(kind), resource, sink)
    return sink.index()


def _walk(step: Step, element: Any, sink: Sink) -> None:
    for emit in step.emits:
        emit(element, sink)
    if not isinstance(element, dict):
        return
    for name, value, emit in step.filtered:
        if element.get(name) == value:
            emit(element, sink)
    for name, following in step.follow:
        inner = element.get(name)
        if inner is None:
            continue
        if isinstance(inner, list):
            for one in inner:
                _walk(following, one, sink)
        else:
            _walk(following, inner, sink)


class _Draft:
    """A Step while the paths of a type are put together."""

    def __init__(self) -> None:
        self.emits: list[Emit] = []
        self.filtered: list[tuple[str, str, Emit]] = []
        self.follow: dict[str, _Draft] = {}

    def at(self, names: Sequence[str]) -> _Draft:
        here = self
        for name in names:
            here = here.follow.setdefault(name, _Draft())
        return here

    def done(self) -> Step:
        follow = tuple((name, draft.done()) for name, draft in self.follow.items())
        return Step(tuple(self.emits), tuple(self.filtered), follow)


@cache
def _compiled(kind: str) -> Step:
    root = _Draft()
    for param in TYPES[kind].params.values():
        if param.name in _COLUMNS:
            continue
        if param.shape == "exists":
            root.emits.append(emitter(param))
            continue
        for path in param.paths:
            _lay(root, param, path)
    return root.done()


def _lay(root: _Draft, param: Param, path: str) -> None:
    path, _, condition = path.partition("[")
    draft = root.at(path.split("."))
    if condition:
        name, _, value = condition.removesuffix("]").partition("=")
        draft.filtered.append((name, value, emitter(param)))
    else:
        draft.emits.append(emitter(param))
