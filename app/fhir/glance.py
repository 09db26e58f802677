"""Whether anything is to be told of a resource whose shape is right: what `validate` would find, without places or texts.

Most resources are right. Each test is a function that is made once, and stops at the first thing that is wrong; what that
is, and where, is then said by the invariants and `conformance`. What this does not understand counts as wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from app.fhir import conformance
from app.fhir.constraints import Options, holds
from app.fhir.elements import Type, lookup
from app.fhir.invariants import INVARIANTS
from app.fhir.named import FUNCTIONS
from app.fhir.profiles import Node, Profile, Profiles
from app.fhir.resource import dump
from app.fhir.walk import Walk

Value = dict[str, Any]
Wrong = Callable[[Any, Value], bool]  # of a value, in the resource that it is of

# Where one of these stands in a resource, all of it is walked: extensions, what stands beside a primitive, what is inside.
_WALKED = (b'xtension"', b'"_', b'"reference":"#', b'"contained"')


class Glance:
    """Made once, for all threads."""

    def __init__(self, walk: Walk, profiles: Profiles, options: Options) -> None:
        self._walk, self._profiles, self._options = walk, profiles, options
        self._plans: dict[str, tuple[tuple[Wrong, ...], tuple[tuple[str, Type], ...]]] = {}
        self._tests: dict[tuple[Profile, bool], tuple[Wrong, ...]] = {}

    def sees_nothing(self, resource: Value, kind: Type, chosen: Iterable[Profile], settled: Iterable[Profile]) -> bool:
        """Whether nothing is wrong. `chosen` are the profiles that it is held against, `settled` those of them whose
        shape the schema has told."""
        text = dump(resource)
        if any(one in text for one in _WALKED) or not self._fine(resource, kind, resource):
            return False
        for profile in chosen:
            key = profile, profile in settled
            tests = self._tests.get(key)
            if tests is None:
                tests = self._tests[key] = self._of_node(profile.light if key[1] else profile.root, kind)
            for wrong in tests:
                if wrong(resource, resource):
                    return False
        return True

    def _fine(self, value: Value, kind: Type, whole: Value) -> bool:
        tests, follow = self._plans.get(kind.name) or self._plan(kind)
        for wrong in tests:
            if wrong(value, whole):
                return False
        for name, below in follow:
            inner = value.get(name)
            if inner is None:
                continue
            for one in inner if isinstance(inner, list) else (inner,):
                if isinstance(one, dict) and not self._fine(one, below, whole):
                    return False
        return True

    def _plan(self, kind: Type) -> tuple[tuple[Wrong, ...], tuple[tuple[str, Type], ...]]:
        tests = [_first(invariant.broken) for invariant in INVARIANTS.get(kind.name, ())]
        for profile in self._profiles.data_types.get(kind.name, ()):
            tests += self._of_node(profile.root, kind)
        follow = tuple((name, below) for name, below in self._walk.plan(kind).items() if below is not None)
        self._plans[kind.name] = tuple(tests), follow
        return self._plans[kind.name]

    def _of_node(self, node: Node, kind: Type) -> tuple[Wrong, ...]:
        options = self._options
        if node.again:
            return (lambda value, whole: _any(conformance.at_node(value, node, kind, whole, options)),)
        return (*self._of_constraints(node), *(self._of_child(*child, kind) for child in node.children.items()))

    def _of_constraints(self, node: Node) -> Iterable[Wrong]:
        for one in node.constraints:
            bound = FUNCTIONS.get(one.key)
            yield _unheld(one.expression) if bound is None else _bound(bound.broken, self._options)

    def _of_child(self, name: str, node: Node, kind: Type) -> Wrong:
        options = self._options
        plain = Node(node.name, node.short, constraints=node.constraints, children=node.children, again=node.again)
        if name.endswith("[x]") or node != plain:
            return lambda value, whole: _any(conformance.at_child(value, name, node, kind, whole, options))
        below = lookup(kind.elements[name].type)
        inside = self._of_node(node, below) if below is not None else ()
        alone = tuple(self._of_constraints(node))

        def wrong(value: Value, whole: Value) -> bool:
            found = value.get(name)
            if found is None:
                return False
            for one in found if isinstance(found, list) else (found,):
                for test in inside if isinstance(one, dict) else alone:
                    if test(one, whole):
                        return True
            return False

        return wrong


def _any(found: Iterable[object]) -> bool:
    return any(True for _ in found)


def _first(broken: Callable[[Value], Iterable[str]]) -> Wrong:
    def wrong(value: Any, _whole: Value) -> bool:
        for _ in broken(value):
            return True
        return False

    return wrong


def _bound(broken: Callable[[Any, Options], Iterable[str]], options: Options) -> Wrong:
    def wrong(value: Any, _whole: Value) -> bool:
        for _ in broken(value, options):
            return True
        return False

    return wrong


def _unheld(expression: str) -> Wrong:
    return lambda value, whole: not holds(expression, value, whole)
