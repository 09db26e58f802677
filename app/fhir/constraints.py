"""The constraints of profiles, evaluated: FHIRPath, or a function that says the same and more.

https://hl7.org/fhir/R4/conformance-rules.html#constraints. A function is bound to the key of a constraint where FHIRPath
cannot say it, where the places inside are wanted, or where a study of a hundred series must not wait. Tests hold each
function against the FHIRPath that is published beside it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import fhirpathpy

from app.fhir import named
from app.fhir.named import Options
from app.fhir.outcome import Issue
from app.fhir.profiles import Constraint, NotEnforceable, Profiles, nodes

__all__ = ["Options", "Path", "check", "compile_all", "holds"]


@dataclass(frozen=True, slots=True)
class Path:
    """A compiled FHIRPath expression."""

    text: str
    run: Any


@cache
def _path(text: str) -> Path:
    return Path(text, fhirpathpy.compile(text))


def holds(expression: str, value: Any, whole: dict[str, Any]) -> bool:
    """Whether an invariant is true of a value; `whole` is %resource. What cannot be evaluated does not hold."""
    try:
        result = _path(expression).run(value, {"resource": whole, "rootResource": whole})
    except Exception:  # the library raises what it likes
        return False
    return bool(result == [True])


def check(constraint: Constraint, value: Any, place: str, whole: dict[str, Any], options: Options) -> Iterator[Issue]:
    """The places where a constraint does not hold, each as an issue."""
    bound = named.FUNCTIONS.get(constraint.key)
    if bound is None:
        if not holds(constraint.expression, value, whole):
            yield _issue(constraint, place, "invariant", None)
        return
    for below in bound.broken(value, options):
        yield _issue(constraint, place + below, bound.code, bound.detail)


def _issue(constraint: Constraint, place: str, code: str, detail: str | None) -> Issue:
    return Issue(code, f"{constraint.human} ({constraint.key})", place, constraint.severity, detail)


def compile_all(profiles: Profiles) -> None:
    """Compile every expression. Raises NotEnforceable for one that is no FHIRPath, or that nothing evaluates."""
    for profile in profiles.by_url.values():
        for place, node in nodes(profile.root):
            for one in node.constraints:
                if one.expression:
                    try:
                        _path(one.expression)
                    except Exception as error:
                        raise NotEnforceable(f"{profile.url} {place}: {one.key} is no FHIRPath") from error
                elif one.key not in named.FUNCTIONS:
                    raise NotEnforceable(f"{profile.url} {place}: {one.key} has no expression and no function")
