"""Search parameters of the conformance types, of which the server holds its own.

https://hl7.org/fhir/R4/capabilitystatement.html#search · structuredefinition · searchparameter · operationdefinition ·
codesystem · valueset
"""

from __future__ import annotations

from app.fhir.parameters import (
    HL7,
    PUBLICATION,
    RESOURCE_TYPES,
    boolean,
    canonical,
    code,
    concept,
    date,
    identifier,
    string,
    uri,
)
from app.fhir.query import Param

_PUBLISHED: tuple[Param, ...] = (
    uri("url"),
    code("version"),
    code("status", system=PUBLICATION),
    string("name"),
    string("description"),
    string("publisher"),
    date("date"),
    concept("jurisdiction"),
    concept("context", "useContext.valueCodeableConcept"),
    concept("context-type", "useContext.code"),
)

CAPABILITY_STATEMENT: tuple[Param, ...] = (
    *_PUBLISHED,
    string("title"),
    code("fhirversion", "fhirVersion"),
    code("format"),
    code("mode", "rest.mode", system=HL7 + "restful-capability-mode"),
    code("resource", "rest.resource.type", system=RESOURCE_TYPES),
    concept("security-service", "rest.security.service"),
    string("software", "software.name"),
    canonical("guide", "implementationGuide", to="ImplementationGuide"),
    canonical("resource-profile", "rest.resource.profile", to="StructureDefinition"),
    canonical("supported-profile", "rest.resource.supportedProfile", to="StructureDefinition"),
)

STRUCTURE_DEFINITION: tuple[Param, ...] = (
    *_PUBLISHED,
    identifier(),
    string("title"),
    boolean("abstract"),
    boolean("experimental"),
    canonical("base", "baseDefinition", to="StructureDefinition"),
    code("base-path", "snapshot.element.base.path", "differential.element.base.path"),
    code("path", "snapshot.element.path", "differential.element.path"),
    code("derivation", system=HL7 + "type-derivation-rule"),
    code("kind", system=HL7 + "structure-definition-kind"),
    code("ext-context", "context.type", system=HL7 + "extension-context-type"),
    concept("keyword"),
    uri("type"),
    canonical("valueset", "snapshot.element.binding.valueSet", to="ValueSet"),
)

SEARCH_PARAMETER: tuple[Param, ...] = (
    *_PUBLISHED,
    code("base", system=RESOURCE_TYPES),
    code("code"),
    code("target", system=RESOURCE_TYPES),
    code("type", system=HL7 + "search-param-type"),
    canonical("component", "component.definition", to="SearchParameter"),
    canonical("derived-from", "derivedFrom", to="SearchParameter"),
)

OPERATION_DEFINITION: tuple[Param, ...] = (
    *_PUBLISHED,
    string("title"),
    code("code"),
    code("kind", system=HL7 + "operation-kind"),
    boolean("instance"),
    boolean("system"),
    boolean("type"),
    canonical("base", to="OperationDefinition"),
    canonical("input-profile", "inputProfile", to="StructureDefinition"),
    canonical("output-profile", "outputProfile", to="StructureDefinition"),
)

CODE_SYSTEM: tuple[Param, ...] = (
    *_PUBLISHED,
    identifier(),
    string("title"),
    code("code", "concept.code"),
    code("content-mode", "content", system=HL7 + "codesystem-content-mode"),
    code("language", "concept.designation.language"),
    canonical("supplements", to="CodeSystem"),
    uri("system", "url"),
)

VALUE_SET: tuple[Param, ...] = (
    *_PUBLISHED,
    identifier(),
    string("title"),
    code("code", "expansion.contains.code", "compose.include.concept.code"),
    uri("expansion", "expansion.identifier"),
    uri("reference", "compose.include.system"),
)
