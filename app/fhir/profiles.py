"""StructureDefinitions compiled to what is enforced: https://hl7.org/fhir/R4/profiling.html.

A differential becomes a tree of nodes, one for each element that it says something about. Two readers go by the tree:
`app.fhir.schemas` makes a JSON Schema of it, to be fast, and `app.fhir.conformance` says what is wrong, and where. What
a differential says and neither could enforce is refused when the profiles are loaded: nothing is published that does
not hold.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from app.fhir.elements import Type, lookup
from app.fhir.named import FUNCTIONS
from app.fhir.parameters import HL7
from app.fhir.terminology import Code, expand

Document = Mapping[str, Any]

BASE = HL7 + "StructureDefinition/"

# What an element of a differential may say: these are enforced, and the others are for the reader.
_ENFORCED = {"min", "max", "type", "binding", "constraint", "slicing", "sliceName"}
_READ = {"id", "path", "short", "definition", "comment", "requirements", "mustSupport", "extension"}
_STRENGTHS = ("required", "extensible", "preferred", "example")


class NotEnforceable(ValueError):
    """A definition that cannot be enforced as it is written. Raised at start."""


@dataclass(frozen=True, slots=True)
class Constraint:
    """One ElementDefinition.constraint: `human` says what was wrong, then what was expected."""

    key: str
    severity: str
    human: str
    expression: str


@dataclass(frozen=True, slots=True)
class Binding:
    """The codes of a value set. Enforced where `required`; `extensible` admits codes of other systems, with a warning."""

    strength: str
    url: str
    codes: frozenset[Code]


@dataclass(slots=True)
class Node:
    """What a profile says of an element, or of one slice of a list. Only `short` is not a rule."""

    name: str
    short: str = ""
    least: int = 0
    most: int | None = None
    fixed: Any = None
    pattern: Any = None
    binding: Binding | None = None
    targets: frozenset[str] = frozenset()
    kinds: frozenset[str] = frozenset()  # the types that are left of a choice
    constraints: tuple[Constraint, ...] = ()
    children: dict[str, Node] = field(default_factory=dict)
    slices: dict[str, Node] = field(default_factory=dict)
    discriminators: tuple[str, ...] = ()
    # Elements by which a backbone holds itself, as a provision does: what is said of the outer one holds for the inner.
    again: tuple[str, ...] = ()

    def match(self) -> list[tuple[tuple[str, ...], Any]]:
        """For a slice: the paths by which its items are known, each with the pattern that they have there."""
        found = []
        for path in self.discriminators:
            node, steps = self, tuple(step for step in path.split(".") if step != "$this")
            for step in steps:
                node = node.children[step]
            found.append((steps, node.fixed if node.fixed is not None else node.pattern))
        return found


@dataclass(frozen=True, slots=True, eq=False)
class Profile:
    """A compiled StructureDefinition. `bases` are those of our own that it builds on, the first the most general;
    `light` is the part of the tree that no schema can tell: constraints, and bindings that warn."""

    url: str
    type: str
    root: Node
    light: Node
    contexts: tuple[str, ...] = ()
    bases: tuple[Profile, ...] = ()

    @property
    def whole(self) -> tuple[Profile, ...]:
        return (*self.bases, self)


@dataclass(frozen=True, slots=True)
class Profiles:
    """Everything that is enforced. `everywhere` are those that all resources of a type meet, by ImplementationGuide."""

    documents: tuple[Document, ...]
    by_url: Mapping[str, Profile]
    everywhere: Mapping[str, tuple[Profile, ...]]
    data_types: Mapping[str, tuple[Profile, ...]]
    extensions: Mapping[str, Profile]
    value_sets: Mapping[str, frozenset[Code]]


def load(documents: Iterable[Document]) -> Profiles:
    """Compile what `fhir_profiles/` holds. Raises NotEnforceable or NotExpandable, naming the definition and the place."""
    documents = tuple(documents)
    codes = expand(documents)
    definitions = {one["url"]: one for one in documents if one["resourceType"] == "StructureDefinition"}
    made: dict[str, Profile] = {}
    for url in definitions:
        _compile(url, definitions, codes, made)
    _check_keys(made.values())
    guides = [one for one in documents if one["resourceType"] == "ImplementationGuide"]
    everywhere = {}
    for said in (row for guide in guides for row in guide.get("global", ())):
        if said["profile"] not in made:
            raise NotEnforceable(f"the guide names {said['profile']}, which is not here")
        everywhere[said["type"]] = made[said["profile"]].whole
    data_types = {
        one.type: one.whole
        for url, one in made.items()
        if definitions[url]["kind"] == "complex-type" and one.type != "Extension"
    }
    extensions = {one.url: one for one in made.values() if one.type == "Extension"}
    return Profiles(documents, made, everywhere, data_types, extensions, codes)


def _compile(
    url: str, definitions: Mapping[str, Document], codes: Mapping[str, frozenset[Code]], made: dict[str, Profile]
) -> Profile:
    if url in made:
        return made[url]
    said = definitions[url]
    base = said["baseDefinition"]
    bases = _compile(base, definitions, codes, made).whole if base in definitions else ()
    kind = lookup(said["type"])
    if kind is None or said["derivation"] != "constraint":
        raise NotEnforceable(f"{url}: expected a constraint on a type of FHIR R4")
    root = Node(said["type"], said.get("title", ""))
    for element in said["differential"]["element"]:
        place = f"{url} {element['id']}"
        if unknown := {name for name in element if not _known(name)}:
            raise NotEnforceable(f"{place}: {', '.join(sorted(unknown))} cannot be enforced")
        node = _node(root, kind, element["id"], place)
        _read(node, element, codes, place)
    contexts = tuple(one["expression"] for one in said.get("context", ()))
    made[url] = Profile(url, said["type"], root, _light(root) or Node(root.name), contexts, bases)
    return made[url]


def schema_of(constraint: Constraint) -> Mapping[str, Any] | None:
    """The JSON Schema that says what a constraint says, if there is one."""
    bound = FUNCTIONS.get(constraint.key)
    return bound.schema if bound else None


def _light(node: Node) -> Node | None:
    """A copy with the constraints and the bindings that warn; None where there are none."""
    children = {name: kept for name, one in node.children.items() if (kept := _light(one))}
    slices = {name: kept for name, one in node.slices.items() if (kept := _light(one))}
    warns = node.binding is not None and node.binding.strength == "extensible"
    constraints = tuple(one for one in node.constraints if schema_of(one) is None)
    if not (children or slices or warns or constraints):
        return None
    known = {path.split(".")[0] for path in node.discriminators}
    return Node(
        node.name,
        node.short,
        binding=node.binding if warns else None,
        constraints=node.constraints,
        children=children
        | {name: one for name, one in node.children.items() if name in known and name not in children},
        slices=slices,
        discriminators=node.discriminators,
        again=node.again,
    )


def _known(name: str) -> bool:
    return name in _ENFORCED or name in _READ or name.startswith(("fixed", "pattern"))


def _node(root: Node, kind: Type, id: str, place: str) -> Node:
    """The node of an element id such as `Patient.identifier:nhsNumber.value`, made where it is not there yet."""
    first, *steps = id.split(".")
    if first != kind.name:
        raise NotEnforceable(f"{place}: expected an element of {kind.name}")
    node, here = root, kind
    for step in steps:
        name, _, slice_name = step.partition(":")
        below = _element_type(here, name, place)
        if name not in node.children:
            inner = below is not None and below.backbone and below.name != here.name
            again = tuple(e.name for e in below.elements.values() if e.type == below.name) if inner and below else ()
            node.children[name] = Node(name, again=again)
        node = node.children[name]
        if slice_name:
            if not node.discriminators:
                raise NotEnforceable(f"{place}: a slice without slicing by a discriminator")
            node = node.slices.setdefault(slice_name, Node(name, discriminators=node.discriminators))
        here = below or here
    return node


def _element_type(kind: Type, name: str, place: str) -> Type | None:
    """The type in which the next step of a path is looked for; None at a primitive or a choice, which end it."""
    if name.endswith("[x]"):
        if not any(one.choice == name[:-3] for one in kind.elements.values()):
            raise NotEnforceable(f"{place}: {kind.name} has no choice {name}")
        return None
    element = kind.elements.get(name)
    if element is None:
        raise NotEnforceable(f"{place}: {kind.name} has no element {name}")
    return lookup(element.type)


def _read(node: Node, element: Document, codes: Mapping[str, frozenset[Code]], place: str) -> None:
    node.short = element.get("short", node.short)
    node.least = element.get("min", node.least)
    if "max" in element:
        node.most = None if element["max"] == "*" else int(element["max"])
    for name, value in element.items():
        if name.startswith("fixed"):
            node.fixed = value
        elif name.startswith("pattern"):
            node.pattern = value
    if "slicing" in element:
        said = element["slicing"]
        if said["rules"] != "open" or any(one["type"] not in ("value", "pattern") for one in said["discriminator"]):
            raise NotEnforceable(f"{place}: expected open slicing by value or pattern")
        node.discriminators = tuple(one["path"] for one in said["discriminator"])
    if "binding" in element:
        node.binding = _binding(element["binding"], codes, place)
    node.constraints += tuple(
        Constraint(one["key"], one["severity"], one["human"], one.get("expression", ""))
        for one in element.get("constraint", ())
    )
    _read_types(node, element.get("type", ()), place)


def _read_types(node: Node, types: Iterable[Document], place: str) -> None:
    kinds, targets = set(), set()
    for one in types:
        kinds.add(one["code"])
        for target in one.get("targetProfile", ()):
            targets.add(target.rpartition("/")[2] if target.startswith(BASE) else target)
        if node.name == "extension" and "profile" in one:
            node.children["url"] = Node("url", pattern=one["profile"][0])
    if any("/" in one for one in targets):
        raise NotEnforceable(f"{place}: expected targets that are types of the standard")
    node.targets = frozenset(targets)
    if node.name.endswith("[x]"):
        node.kinds = frozenset(kinds)


def _binding(said: Document, codes: Mapping[str, frozenset[Code]], place: str) -> Binding:
    url, strength = said["valueSet"], said["strength"]
    if strength not in _STRENGTHS or url not in codes:
        raise NotEnforceable(f"{place}: expected a binding to a value set that is here")
    return Binding(strength, url, codes[url])


def _check_keys(profiles: Iterable[Profile]) -> None:
    seen: dict[str, str] = {}
    for profile in profiles:
        for _, node in nodes(profile.root):
            for one in node.constraints:
                if one.key in seen:
                    raise NotEnforceable(f"{profile.url}: the key {one.key} is also that of {seen[one.key]}")
                seen[one.key] = profile.url


def nodes(root: Node, place: str = "") -> Iterator[tuple[str, Node]]:
    """Every node of a tree with its place: `Patient.identifier:nhsNumber.value`."""
    here = place or root.name
    yield here, root
    for name, child in root.children.items():
        yield from nodes(child, f"{here}.{name}")
    for name, slice_ in root.slices.items():
        yield from nodes(slice_, f"{here}:{name}")


def rules(profile: Profile) -> Iterator[str]:
    """The name of every rule of a profile, as the bad examples name them: a constraint's key, else place and kind."""
    known = {
        "Extension.url"
    }  # where a discriminator looks: what is not so there is no item of the slice, and breaks nothing
    for place, node in nodes(profile.root):
        if ":" in place.rpartition(".")[2]:
            known |= {f"{place}.{path}" for path in node.discriminators}
        if place in known:
            continue
        yield from (one.key for one in node.constraints)
        if node.least:
            yield f"{place} min"
        if node.most is not None:
            yield f"{place} max"
        if node.fixed is not None or node.pattern is not None:
            yield f"{place} pattern"
        if node.binding is not None and node.binding.strength in ("required", "extensible"):
            yield f"{place} binding"
        if node.targets:
            yield f"{place} target"
        if node.kinds:
            yield f"{place} type"
