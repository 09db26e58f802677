"""The rows of search parameters, type by type, and the words they are written in.

https://hl7.org/fhir/R4/searchparameter-registry.html. A row without a path has its own name for its path. Rows that
base R4 does not have say so with `ours`, and are published by this server.
"""

from __future__ import annotations

from app.fhir.query import Param

HL7 = "http://hl7.org/fhir/"
OURS = "https://imaging-registry.example/fhir/SearchParameter/"

PUBLICATION = HL7 + "publication-status"
RESOURCE_TYPES = HL7 + "resource-types"


def identifier(name: str = "identifier", *paths: str) -> Param:
    return _row(name, "token", paths, shape="identifier")


def concept(name: str, *paths: str) -> Param:
    """CodeableConcept or Coding."""
    return _row(name, "token", paths, shape="concept")


def code(name: str, *paths: str, system: str = "") -> Param:
    """A code, or a string that is searched as one. `system` where the required binding has exactly one."""
    return _row(name, "token", paths, shape="code", system=system)


def boolean(name: str, *paths: str) -> Param:
    return _row(name, "token", paths, shape="boolean")


def exists(name: str, *paths: str) -> Param:
    """True where one of the paths is present and is not false; else false."""
    return _row(name, "token", paths, shape="exists")


def uid(name: str, *paths: str) -> Param:
    """A DICOM UID, with or without `urn:oid:`."""
    return _row(name, "token", paths, shape="uid")


def contact(name: str, *paths: str) -> Param:
    return _row(name, "token", paths, shape="contact")


def reference(name: str, *paths: str, to: str = "") -> Param:
    """`to`: the types that may be named, by spaces; any type without it."""
    return _row(name, "reference", paths, shape="reference", targets=tuple(to.split()))


def canonical(name: str, *paths: str, to: str) -> Param:
    return _row(name, "reference", paths, shape="canonical", targets=tuple(to.split()))


def date(name: str, *paths: str) -> Param:
    return _row(name, "date", paths)


def string(name: str, *paths: str) -> Param:
    return _row(name, "string", paths, shape="text")


def human_name(name: str, *paths: str) -> Param:
    return _row(name, "string", paths, shape="name")


def address(name: str, *paths: str) -> Param:
    return _row(name, "string", paths, shape="address")


def number(name: str, *paths: str) -> Param:
    return _row(name, "number", paths)


def uri(name: str, *paths: str) -> Param:
    return _row(name, "uri", paths)


def ours(row: Param) -> Param:
    """A parameter that base R4 does not have; its definition is completed with the name of its type by the table."""
    return Param(row.name, row.kind, row.paths, row.targets, "", row.shape, row.system, OURS)


def addresses() -> tuple[Param, ...]:
    """The parameters on an Address, alike wherever a type has one."""
    return (
        address("address"),
        string("address-city", "address.city"),
        string("address-country", "address.country"),
        string("address-postalcode", "address.postalCode"),
        string("address-state", "address.state"),
        code("address-use", "address.use", system=HL7 + "address-use"),
    )


def telecoms() -> tuple[Param, ...]:
    """The parameters on a ContactPoint, alike wherever a type has one."""
    return (
        contact("telecom"),
        contact("email", "telecom[system=email]"),
        contact("phone", "telecom[system=phone]"),
    )


# What every resource has, and what its `meta` may say besides.
EVERY = (
    Param("_id", "token", ("id",), shape="id"),
    Param("_lastUpdated", "date", ("meta.lastUpdated",)),
)
COMMON = (
    *EVERY,
    Param("_tag", "token", ("meta.tag",), shape="concept"),
    Param("_security", "token", ("meta.security",), shape="concept"),
    Param("_profile", "uri", ("meta.profile",)),
    Param("_source", "uri", ("meta.source",)),
)


def _row(
    name: str, kind: str, paths: tuple[str, ...], shape: str = "", system: str = "", targets: tuple[str, ...] = ()
) -> Param:
    return Param(name, kind, paths or (name,), targets, "", shape, system)
