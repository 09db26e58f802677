"""THE table: which types, interactions, search parameters and compartments this server has.

Routes, index, search, CapabilityStatement and OpenAPI are all made from it. https://hl7.org/fhir/R4/resourcelist.html
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from app.fhir.parameters import COMMON, EVERY, HL7, OURS, care, conformance, directory, imaging, privacy
from app.fhir.query import Param

READ = frozenset({"read", "vread", "search-type"})
PUBLISHED = frozenset({"read", "search-type"})
ALL = READ | {
    "create",
    "update",
    "patch",
    "delete",
    "history-instance",
    "history-type",
    "conditional-create",
    "conditional-update",
    "conditional-patch",
    "conditional-delete",
}

# The prefixes of dates and numbers, https://hl7.org/fhir/R4/search.html#prefix.
PREFIXES = ("eq", "ne", "gt", "lt", "ge", "le", "sa", "eb", "ap")

# What may follow a parameter's name after a colon, by kind and shape. `[type]` stands for a type's name.
MODIFIERS: Mapping[str, tuple[str, ...]] = {
    "token.concept": ("not", "text", "in", "missing"),
    "token.code": ("not", "in", "missing"),
    "token.boolean": ("not", "missing"),
    "token.exists": ("not", "missing"),
    "token.contact": ("not", "missing"),
    "token.uid": ("not", "missing"),
    "token.identifier": ("not", "of-type", "text", "missing"),
    "token.id": (),
    "reference.reference": ("[type]", "identifier", "missing"),
    "reference.canonical": ("missing",),
    "date": ("missing",),
    "number": ("missing",),
    "uri": ("missing",),
    "string": ("exact", "contains", "missing"),
}


@dataclass(frozen=True, slots=True)
class ResourceType:
    """One row. `code` is fixed for ever: it is in the database. `compartment` names the parameters by which a resource
    is in a Patient's compartment. `visibility` is the class of rule that governs who may see it."""

    name: str
    code: int
    visibility: str
    interactions: frozenset[str]
    params: Mapping[str, Param]
    compartment: tuple[str, ...] = ()

    @property
    def includes(self) -> tuple[str, ...]:
        """What `_include` may name on this type: each reference that leads to a type held here."""
        return tuple(f"{self.name}:{param.name}" for param in self.params.values() if followed(param))

    @property
    def rev_includes(self) -> tuple[str, ...]:
        """What `_revinclude` may name when this type is searched."""
        return tuple(
            f"{other.name}:{param.name}"
            for other in TYPES.values()
            for param in other.params.values()
            if self.name in followed(param)
        )


def modifiers(param: Param) -> tuple[str, ...]:
    """The modifiers that `param` takes."""
    if param.name == "_lastUpdated" or param.type == "AuditEvent":  # the audit has an index of its own
        return ()
    key = f"{param.kind}.{param.shape}"
    return MODIFIERS[key if key in MODIFIERS else param.kind]


def followed(param: Param) -> tuple[str, ...]:
    """The types held here to which a chain or an include along `param` may lead. A canonical is not followed, nor does
    anything lead from the audit."""
    if param.kind != "reference" or param.shape == "canonical" or param.type == "AuditEvent":
        return ()
    return tuple(name for name in TYPES if not param.targets or name in param.targets)


def is_ours(param: Param) -> bool:
    """Whether base R4 lacks the parameter, so that this server must publish its SearchParameter."""
    return param.definition.startswith(OURS)


# Parameters whose definition several types share, https://hl7.org/fhir/R4/searchparameter-registry.html: the types,
# then the names, by spaces.
_CLINICAL = "CareTeam Consent DiagnosticReport EpisodeOfCare ImagingStudy ServiceRequest"
_CONFORMANCE = "CapabilityStatement CodeSystem OperationDefinition SearchParameter StructureDefinition ValueSet"
_INDIVIDUAL = "Patient Practitioner PractitionerRole"
_PUBLISHED = "context context-type date description identifier jurisdiction name publisher status title url version"
_PERSONAL = "address address-city address-country address-postalcode address-state address-use birthdate email family"
_SHARED = (
    ("clinical", _CLINICAL, "identifier patient"),
    ("clinical", "DiagnosticReport ServiceRequest", "code encounter"),
    ("clinical", "CareTeam Consent DiagnosticReport EpisodeOfCare", "date"),
    ("clinical", "EpisodeOfCare", "type"),
    ("conformance", _CONFORMANCE, _PUBLISHED),
    ("individual", _INDIVIDUAL, f"{_PERSONAL} gender given phone telecom"),
)


def _definition(type_name: str, param: Param) -> str:
    if param.definition:
        return f"{param.definition}{type_name}-{param.name}"
    if param.name.startswith("_"):
        return f"{HL7}SearchParameter/Resource-{param.name[1:]}"
    for family, types, names in _SHARED:
        if type_name in types.split() and param.name in names.split():
            return f"{HL7}SearchParameter/{family}-{param.name}"
    return f"{HL7}SearchParameter/{type_name}-{param.name}"


def _type(
    name: str,
    code: int,
    visibility: str,
    rows: tuple[Param, ...],
    compartment: str = "",
    interactions: frozenset[str] = ALL,
    common: tuple[Param, ...] = COMMON,
) -> ResourceType:
    params = {row.name: replace(row, type=name, definition=_definition(name, row)) for row in (*common, *rows)}
    return ResourceType(name, code, visibility, interactions, params, tuple(compartment.split()))


_ROWS = (
    _type("Patient", 1, "person", directory.PATIENT, "_id link"),
    _type("Organization", 2, "directory", directory.ORGANIZATION),
    _type("Location", 3, "directory", directory.LOCATION),
    _type("Practitioner", 4, "directory", directory.PRACTITIONER),
    _type("PractitionerRole", 5, "directory", directory.PRACTITIONER_ROLE),
    _type("CareTeam", 6, "care", care.CARE_TEAM, "patient participant"),
    _type("Group", 7, "care", directory.GROUP, "member"),
    _type("Endpoint", 8, "endpoint", imaging.ENDPOINT),
    _type("ImagingStudy", 9, "study", imaging.IMAGING_STUDY, "patient"),
    _type("DiagnosticReport", 10, "study", imaging.DIAGNOSTIC_REPORT, "subject"),
    _type("EpisodeOfCare", 11, "care", care.EPISODE_OF_CARE, "patient"),
    _type("Appointment", 12, "care", care.APPOINTMENT, "actor"),
    _type("ServiceRequest", 13, "care", imaging.SERVICE_REQUEST, "subject performer"),
    _type("Consent", 14, "privacy", privacy.CONSENT, "patient"),
    _type("QuestionnaireResponse", 15, "privacy", privacy.QUESTIONNAIRE_RESPONSE, "subject author"),
    _type("Questionnaire", 16, "directory", privacy.QUESTIONNAIRE),
    _type("Task", 17, "privacy", care.TASK),
    _type("Communication", 18, "privacy", care.COMMUNICATION, "subject sender recipient"),
    _type("Subscription", 19, "own", directory.SUBSCRIPTION),
    _type(
        "AuditEvent", 20, "privacy", privacy.AUDIT_EVENT, "patient", READ, EVERY
    ),  # its `meta` is made when it is read
    _type("Provenance", 21, "privacy", privacy.PROVENANCE, "patient"),
    _type("CapabilityStatement", 22, "conformance", conformance.CAPABILITY_STATEMENT, interactions=PUBLISHED),
    _type("StructureDefinition", 23, "conformance", conformance.STRUCTURE_DEFINITION, interactions=PUBLISHED),
    _type("SearchParameter", 24, "conformance", conformance.SEARCH_PARAMETER, interactions=PUBLISHED),
    _type("OperationDefinition", 25, "conformance", conformance.OPERATION_DEFINITION, interactions=PUBLISHED),
    _type("CodeSystem", 26, "conformance", conformance.CODE_SYSTEM, interactions=PUBLISHED),
    _type("ValueSet", 27, "conformance", conformance.VALUE_SET, interactions=PUBLISHED),
)

TYPES: dict[str, ResourceType] = {row.name: row for row in _ROWS}
BY_CODE: dict[int, ResourceType] = {row.code: row for row in _ROWS}
