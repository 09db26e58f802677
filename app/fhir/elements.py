"""The elements of each FHIR type as data: order, kind, cardinality, summary flag.

https://hl7.org/fhir/R4/formats.html. Taken from the models of `fhir.resources.R4B`, whose element trees are those of R4
for the types held here; read when a type is first asked for, since importing all models takes a third of a second.
"""

from __future__ import annotations

import typing
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from types import MappingProxyType
from typing import Any


@dataclass(frozen=True, slots=True)
class Element:
    """One element of a type, named as in JSON. kind: boolean | number | string | xhtml | complex | resource.

    `type` is the FHIR type: `dateTime`, `CodeableConcept`, or for a backbone its own name (`ImagingStudySeries`).
    `choice` is the common part of the name of a choice (`value` for `valueString`), else empty.
    """

    name: str
    kind: str
    type: str
    many: bool
    summary: bool
    required: bool
    choice: str

    @property
    def primitive(self) -> bool:
        return self.kind not in ("complex", "resource")


@dataclass(frozen=True, slots=True)
class Type:
    """A type: its elements in the order of the specification, and whether it is a resource or a part of one."""

    name: str
    resource: bool
    backbone: bool
    elements: Mapping[str, Element]


@cache
def lookup(name: str) -> Type | None:
    """The type called `name`, a resource, a data type or a backbone; None if there is none, or it is abstract."""
    if not name.isascii() or not name.isalnum() or name in _ABSTRACT:
        return None
    models = import_module("fhir.resources.R4B.fhirtypes")
    path = getattr(getattr(models, name + "Type", None), "_model_klass", None)
    if not isinstance(path, str):
        return None
    module, _, model_name = path.rpartition(".")
    if model_name != name or not module.startswith("fhir.resources.R4B."):
        return None
    model = getattr(import_module(module), name)
    ancestors = {ancestor.__name__ for ancestor in model.__mro__}
    fields = {field.alias or key: field for key, field in model.model_fields.items()}
    order = [key for key in model.elements_sequence() if key in fields]
    rows = {key: _element(key, fields[key]) for key in order}
    rows = {key: row for key, row in rows.items() if not (row.choice and row.type in _LATER)}
    if name in _OPEN:
        for choice in dict.fromkeys(row.choice for row in rows.values() if row.choice and row.type == "UsageContext"):
            alike = [row for row in rows.values() if row.choice == choice]
            summary, required = any(row.summary for row in alike), any(row.required for row in alike)
            rows[f"{choice}Meta"] = Element(f"{choice}Meta", "complex", "Meta", False, summary, required, choice)
    return Type(
        name,
        "Resource" in ancestors,
        "BackboneElement" in ancestors and name not in _BACKBONE_DATATYPES,
        MappingProxyType(rows),
    )


def resource_type(name: str) -> Type | None:
    """The resource type called `name`, or None."""
    found = lookup(name) if name else None
    return found if found is not None and found.resource else None


_ABSTRACT = frozenset(("Resource", "DomainResource", "Element", "BackboneElement", "FHIRPrimitiveExtension"))

# Where any type may stand, R4B has two that R4 had not, and its models leave out one that R4 has.
_LATER = frozenset(("CodeableReference", "RatioRange"))
_OPEN = frozenset(("Extension", "ElementDefinition", "ElementDefinitionExample"))
_BACKBONE_DATATYPES = frozenset(
    ("Dosage", "ElementDefinition", "Timing", "DataRequirement", "TriggerDefinition", "Population", "ProductShelfLife")
)
_NUMBERS = frozenset(("decimal", "integer", "unsignedInt", "positiveInt", "integer64"))


def _element(name: str, field: Any) -> Element:
    extra = field.json_schema_extra or {}
    many, inner = _unwrap(field.annotation)
    kind = _kind_of(inner, field)
    form = "complex"
    if kind in ("Resource", "DomainResource"):
        form = "resource"
    elif kind == "boolean":
        form = "boolean"
    elif kind in _NUMBERS:
        form = "number"
    elif kind == "xhtml":
        form = "xhtml"
    elif kind[0].islower():
        form = "string"
    required = bool(extra.get("element_required")) or field.is_required() or bool(extra.get("one_of_many_required"))
    return Element(
        name,
        form,
        kind,
        many,
        bool(extra.get("summary_element_property")),
        required,
        str(extra.get("one_of_many") or ""),
    )


def _unwrap(annotation: Any) -> tuple[bool, Any]:
    """Whether a list is annotated, and the type within Optional and List."""
    many = False
    while True:
        origin = typing.get_origin(annotation)
        if origin is list:
            many = True
        elif origin is None or origin is typing.Annotated or not typing.get_args(annotation):
            return many, annotation
        annotation = next(part for part in typing.get_args(annotation) if part is not type(None))


def _kind_of(inner: Any, field: Any) -> str:
    """The FHIR name of an annotated type: a model's own name, or that of a primitive in its metadata."""
    path = getattr(inner, "_model_klass", None)
    if isinstance(path, str):
        return path.rpartition(".")[2]
    if inner is bool:
        return "boolean"
    marks = [*getattr(inner, "__metadata__", ()), *field.metadata]
    for mark in marks:
        name = type(mark).__name__
        if type(mark).__module__ == "fhir_core.types":
            return name[0].lower() + name[1:]
    return "string"
