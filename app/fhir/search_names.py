"""The left side of a search parameter: its name, modifier, chain or `_has`, made into a condition.

https://hl7.org/fhir/R4/search.html#modifiers, #chaining and #has
"""

from __future__ import annotations

from app.fhir.faults import TooMuch, Wrong, nearest, shown
from app.fhir.query import AnyOf, Chain, Clause, Condition, Has, Param, Token, Value
from app.fhir.reference import place
from app.fhir.registry import TYPES, followed, modifiers
from app.fhir.search_values import BY_KIND, BY_MODIFIER, Context, alternatives, references

MAX_DEPTH = 3
MAX_BRANCHES = 8


def condition(type_name: str, name: str, value: str, context: Context, depth: int = 0) -> Condition:
    """The condition that `name=value` puts on resources of `type_name`. Raises Wrong."""
    if name.startswith("_has:"):
        return _has(type_name, name, value, context, _deeper(depth))
    head, dot, rest = name.partition(".")
    base, colon, modifier = head.partition(":")
    param = known(type_name, base)
    if dot:
        return _chain(param, modifier if colon else None, rest, value, context, _deeper(depth))
    return _clause(param, modifier if colon else None, value, context)


def known(type_name: str, name: str) -> Param:
    """The parameter `name` of a type, or Wrong with the nearest."""
    params = TYPES[type_name].params
    if name not in params:
        raise Wrong(f"the search parameter {shown(name)} is not known for {type_name}: {nearest(name, params)}")
    return params[name]


def held(type_name: str) -> str:
    """`type_name` if it is a type of this server."""
    if type_name not in TYPES:
        raise Wrong(f"the type {shown(type_name)} is not held here: {nearest(type_name, TYPES)}")
    return type_name


def _deeper(depth: int) -> int:
    if depth >= MAX_DEPTH:
        raise Wrong(f"a chain that is too deep: at most {MAX_DEPTH} references are followed")
    return depth + 1


def _clause(param: Param, modifier: str | None, value: str, context: Context) -> Condition:
    only = None
    if modifier is not None:
        allowed = modifiers(param)
        if "[type]" in allowed and modifier[:1].isupper():
            only = _target(param, modifier)
            modifier = None
        elif modifier not in allowed:
            named = (*(one for one in allowed if one != "[type]"), *(_types(param) if "[type]" in allowed else ()))
            raise Wrong(
                f"the modifier {shown(modifier)} is not supported on {shown(param.name)}: {nearest(modifier, named)}"
            )
    values: list[Value] = []
    raws = alternatives(value)
    context.count(len(raws))
    for raw in raws:
        if only:
            values += references(param, raw, context, only)
        else:
            reader = BY_MODIFIER[modifier] if modifier else BY_KIND[param.kind]
            values += reader(param, raw, context)
    if modifier == "in":
        modifier = None
    if modifier == "missing" and len(values) > 1:
        raise Wrong('several values after ":missing": expected "true" or "false"')
    return _any_code(Clause(param, modifier, tuple(dict.fromkeys(values))))


def _any_code(clause: Clause) -> Clause:
    """`system|` on a parameter whose codes have no system of their own asks for any value: it is not missing."""
    for value in clause.values:
        if isinstance(value, Token) and value.system is None and value.code is None:
            return Clause(clause.param, "missing", (clause.modifier == "not",))
    return clause


def _types(param: Param) -> tuple[str, ...]:
    return param.targets or tuple(TYPES)


def _target(param: Param, name: str) -> str:
    """The type that a modifier names, where the parameter may refer to it."""
    if "[type]" not in modifiers(param):
        raise Wrong(f"the type {shown(name)} after {shown(param.name)}: expected no type, it is not a reference")
    if name not in _types(param):
        raise Wrong(f"{shown(param.name)} does not refer to {shown(name)}: {nearest(name, _types(param))}")
    return name


def _chain(param: Param, target: str | None, rest: str, value: str, context: Context, depth: int) -> Condition:
    targets = followed(param)
    if not targets:
        why = "a canonical is not followed" if param.shape == "canonical" else "it leads to no type held here"
        raise Wrong(f"a chain through {shown(param.name)}: {why if param.kind == 'reference' else 'not a reference'}")
    if target is not None:
        return Chain(param, held(_target(param, target)), condition(target, rest, value, context, depth))
    if len(targets) == 1:
        return Chain(param, targets[0], condition(targets[0], rest, value, context, depth))
    first = rest.partition(".")[0].partition(":")[0]
    if first == "_has":
        raise Wrong(f'a chain from {shown(param.name)} to "_has" without a type: expected one after a colon')
    able = [name for name in targets if first in TYPES[name].params]
    if not able:
        every = {name for one in targets for name in TYPES[one].params}
        raise Wrong(
            f"the search parameter {shown(first)} is not known for {' or '.join(targets[:MAX_BRANCHES])}: "
            + nearest(first, every)
        )
    if len(able) > MAX_BRANCHES:
        raise Wrong(f"a chain from {shown(param.name)} that may lead to {len(able)} types: expected one after a colon")
    parts, faults = [], []
    for name in able:
        try:
            parts.append(Chain(param, name, condition(name, rest, value, context, depth)))
        except TooMuch:
            raise
        except Wrong as wrong:
            faults.append(wrong)
    if not parts:
        raise faults[0]
    return parts[0] if len(parts) == 1 else AnyOf(tuple(parts))


def _has(type_name: str, name: str, value: str, context: Context, depth: int) -> Condition:
    parts = name.split(":", 3)
    if len(parts) != 4 or not all(parts):
        raise Wrong('a "_has" that is not complete: expected "_has:Type:reference:parameter"')
    _, source, by, rest = parts
    param = known(held(source), by)
    if type_name not in followed(param):
        raise Wrong(f"{shown(by)} of {source} does not refer to {type_name}: {_referring(source, type_name)}")
    return Has(source, param, condition(source, rest, value, context, depth))


def _referring(source: str, target: str) -> str:
    names = [param.name for param in TYPES[source].params.values() if target in followed(param)]
    return "expected " + " or ".join(f'"{name}"' for name in names) if names else "none of its parameters does"


def in_compartment(type_name: str, owner: tuple[str, str]) -> Condition:
    """That a resource is in a Patient's compartment, https://hl7.org/fhir/R4/compartmentdefinition-patient.html."""
    kind, id = owner
    names = TYPES[type_name].compartment
    found = place(f"{kind}/{id}")
    if kind != "Patient" or found is None or not found[1]:
        raise Wrong(f"the compartment of {shown(kind)}: expected that of a Patient, by its id")
    if not names:
        raise Wrong(f"{type_name} is not in the compartment of a Patient: expected {_compartment_types()}")
    parts: list[Condition] = []
    for name in names:
        param = TYPES[type_name].params[name]
        values: tuple[Value, ...] = (
            references(param, f"Patient/{id}", Context(0)) if name != "_id" else (Token(None, id),)
        )
        parts.append(Clause(param, None, values))
    return parts[0] if len(parts) == 1 else AnyOf(tuple(parts))


def _compartment_types() -> str:
    return ", ".join(row.name for row in TYPES.values() if row.compartment)
