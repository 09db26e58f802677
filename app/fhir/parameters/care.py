"""Search parameters of the types that make somebody part of a patient's care.

https://hl7.org/fhir/R4/episodeofcare.html#search (all of base R4) · appointment · careteam · task · communication
"""

from __future__ import annotations

from app.fhir.parameters import HL7, canonical, code, concept, date, identifier, ours, reference, uri
from app.fhir.query import Param

_ANYONE = "Practitioner PractitionerRole Organization Patient RelatedPerson Device HealthcareService"

EPISODE_OF_CARE: tuple[Param, ...] = (
    identifier(),
    code("status", system=HL7 + "episode-of-care-status"),
    reference("patient", to="Patient"),
    reference("organization", "managingOrganization", to="Organization"),
    date("date", "period"),
    concept("type"),
    reference("care-manager", "careManager", to="Practitioner"),
    reference("condition", "diagnosis.condition", to="Condition"),
    reference("incoming-referral", "referralRequest", to="ServiceRequest"),
    ours(reference("care-manager-role", "careManager", to="PractitionerRole")),
    ours(reference("team", to="CareTeam")),
)

APPOINTMENT: tuple[Param, ...] = (
    identifier(),
    code("status", system=HL7 + "appointmentstatus"),
    code("part-status", "participant.status", system=HL7 + "participationstatus"),
    date("date", "start"),
    reference(
        "actor",
        "participant.actor",
        to="Patient Practitioner PractitionerRole RelatedPerson Device HealthcareService Location",
    ),
    reference("patient", "participant.actor", to="Patient"),
    reference("practitioner", "participant.actor", to="Practitioner"),
    reference("location", "participant.actor", to="Location"),
    reference("based-on", "basedOn", to="ServiceRequest"),
    reference("reason-reference", "reasonReference", to="Condition Procedure Observation ImmunizationRecommendation"),
    reference("slot", to="Slot"),
    reference("supporting-info", "supportingInformation"),
    concept("appointment-type", "appointmentType"),
    concept("reason-code", "reasonCode"),
    concept("service-category", "serviceCategory"),
    concept("service-type", "serviceType"),
    concept("specialty"),
)

CARE_TEAM: tuple[Param, ...] = (
    identifier(),
    code("status", system=HL7 + "care-team-status"),
    reference("patient", "subject", to="Patient"),
    reference("subject", to="Patient Group"),
    concept("category"),
    date("date", "period"),
    reference("encounter", to="Encounter"),
    reference(
        "participant",
        "participant.member",
        to="Practitioner PractitionerRole RelatedPerson Patient Organization CareTeam",
    ),
    ours(reference("organization", "managingOrganization", to="Organization")),
)

TASK: tuple[Param, ...] = (
    identifier(),
    identifier("group-identifier", "groupIdentifier"),
    code("status", system=HL7 + "task-status"),
    concept("business-status", "businessStatus"),
    code("intent"),
    code("priority", system=HL7 + "request-priority"),
    concept("code"),
    reference("patient", "for", to="Patient"),
    reference("subject", "for"),
    reference("focus"),
    reference("based-on", "basedOn"),
    reference("part-of", "partOf", to="Task"),
    reference("encounter", to="Encounter"),
    reference("requester", to="Device Organization Patient Practitioner PractitionerRole RelatedPerson"),
    reference("owner", to=f"{_ANYONE} CareTeam"),
    concept("performer", "performerType"),
    date("authored-on", "authoredOn"),
    date("modified", "lastModified"),
    date("period", "executionPeriod"),
)

COMMUNICATION: tuple[Param, ...] = (
    identifier(),
    code("status", system=HL7 + "event-status"),
    reference("patient", "subject", to="Patient"),
    reference("subject", to="Patient Group"),
    concept("category"),
    concept("medium"),
    date("sent"),
    date("received"),
    reference("sender", to=_ANYONE),
    reference("recipient", to=f"{_ANYONE} CareTeam Group"),
    reference("encounter", to="Encounter"),
    reference("based-on", "basedOn"),
    reference("part-of", "partOf"),
    canonical(
        "instantiates-canonical",
        "instantiatesCanonical",
        to="PlanDefinition ActivityDefinition Measure OperationDefinition Questionnaire",
    ),
    uri("instantiates-uri", "instantiatesUri"),
)
