"""Search parameters of the types that hold a patient's choices, and the record of what was disclosed.

https://hl7.org/fhir/R4/consent.html#search (all of base R4) · questionnaireresponse · questionnaire · auditevent · provenance
"""

from __future__ import annotations

from app.fhir.parameters import (
    HL7,
    PUBLICATION,
    RESOURCE_TYPES,
    canonical,
    code,
    concept,
    date,
    identifier,
    reference,
    string,
    uri,
)
from app.fhir.query import Param

_AGENTS = "Practitioner PractitionerRole Organization Device Patient RelatedPerson"

CONSENT: tuple[Param, ...] = (
    identifier(),
    code("status", system=HL7 + "consent-state-codes"),
    reference("patient", to="Patient"),
    concept("scope"),
    concept("category"),
    date("date", "dateTime"),
    date("period", "provision.period"),
    reference("consentor", "performer", to="Organization Patient Practitioner RelatedPerson PractitionerRole"),
    reference("organization", to="Organization"),
    reference(
        "actor",
        "provision.actor.reference",
        to="Device Group CareTeam Organization Patient Practitioner RelatedPerson PractitionerRole",
    ),
    concept("action", "provision.action"),
    concept("purpose", "provision.purpose"),
    concept("security-label", "provision.securityLabel"),
    reference("data", "provision.data.reference"),
    reference("source-reference", "sourceReference", to="Consent DocumentReference Contract QuestionnaireResponse"),
)

QUESTIONNAIRE_RESPONSE: tuple[Param, ...] = (
    identifier(),
    code("status", system=HL7 + "questionnaire-answers-status"),
    canonical("questionnaire", to="Questionnaire"),
    reference("patient", "subject", to="Patient"),
    reference("subject"),
    date("authored"),
    reference("author", to=_AGENTS),
    reference("source", to="Patient Practitioner PractitionerRole RelatedPerson"),
    reference("based-on", "basedOn", to="CarePlan ServiceRequest"),
    reference("part-of", "partOf", to="Observation Procedure"),
    reference("encounter", to="Encounter"),
)

QUESTIONNAIRE: tuple[Param, ...] = (
    identifier(),
    uri("url"),
    code("version"),
    code("status", system=PUBLICATION),
    string("name"),
    string("title"),
    string("description"),
    string("publisher"),
    date("date"),
    date("effective", "effectivePeriod"),
    concept("code", "item.code"),
    concept("context", "useContext.valueCodeableConcept"),
    concept("context-type", "useContext.code"),
    concept("jurisdiction"),
    uri("definition", "item.definition"),
    code("subject-type", "subjectType", system=RESOURCE_TYPES),
)

# The log has a table of its own; these are the questions that it answers.
AUDIT_EVENT: tuple[Param, ...] = (
    date("date", "recorded"),
    code("action", system=HL7 + "audit-event-action"),
    code("outcome", system=HL7 + "audit-event-outcome"),
    concept("type"),
    concept("subtype"),
    reference("patient", "agent.who", "entity.what", to="Patient"),
    reference("agent", "agent.who", to=_AGENTS),
    reference("entity", "entity.what"),
)

PROVENANCE: tuple[Param, ...] = (
    reference("target"),
    reference("patient", "target", to="Patient"),
    date("recorded"),
    date("when", "occurredDateTime"),
    reference("agent", "agent.who", to=_AGENTS),
    concept("agent-role", "agent.role"),
    concept("agent-type", "agent.type"),
    reference("entity", "entity.what"),
    reference("location", to="Location"),
    concept("signature-type", "signature.type"),
)
