"""Search parameters of the types that describe imaging and where it is kept.

https://hl7.org/fhir/R4/imagingstudy.html#search (all of base R4) · diagnosticreport · endpoint · servicerequest
"""

from __future__ import annotations

from app.fhir.parameters import (
    HL7,
    canonical,
    code,
    concept,
    date,
    identifier,
    number,
    ours,
    reference,
    string,
    uid,
    uri,
)
from app.fhir.query import Param

_PERFORMERS = "Practitioner PractitionerRole Organization CareTeam Patient Device RelatedPerson"

IMAGING_STUDY: tuple[Param, ...] = (
    identifier(),
    code("status", system=HL7 + "imagingstudy-status"),
    reference("patient", "subject", to="Patient"),
    reference("subject", to="Patient Device Group"),
    date("started"),
    concept("modality", "modality", "series.modality"),
    concept("bodysite", "series.bodySite"),
    concept("dicom-class", "series.instance.sopClass"),
    uid("series", "series.uid"),
    uid("instance", "series.instance.uid"),
    reference("endpoint", "endpoint", "series.endpoint", to="Endpoint"),
    reference("basedon", "basedOn", to="ServiceRequest CarePlan Appointment AppointmentResponse Task"),
    reference("encounter", to="Encounter"),
    reference("interpreter", to="Practitioner PractitionerRole"),
    reference("performer", "series.performer.actor", to=_PERFORMERS),
    concept("reason", "reasonCode"),
    reference("referrer", to="Practitioner PractitionerRole"),
    ours(concept("procedure", "procedureCode")),
    ours(string("description")),
    ours(reference("location", to="Location")),
    ours(number("number-of-series", "numberOfSeries")),
    ours(number("number-of-instances", "numberOfInstances")),
)

DIAGNOSTIC_REPORT: tuple[Param, ...] = (
    identifier(),
    code("status", system=HL7 + "diagnostic-report-status"),
    reference("patient", "subject", to="Patient"),
    reference("subject", to="Patient Group Device Location"),
    concept("category"),
    concept("code"),
    concept("conclusion", "conclusionCode"),
    date("date", "effectiveDateTime", "effectivePeriod"),
    date("issued"),
    reference(
        "based-on", "basedOn", to="ServiceRequest CarePlan ImmunizationRecommendation MedicationRequest NutritionOrder"
    ),
    reference("encounter", to="Encounter"),
    reference("media", "media.link", to="Media"),
    reference("performer", to="Practitioner PractitionerRole Organization CareTeam"),
    reference("result", to="Observation"),
    reference("results-interpreter", "resultsInterpreter", to="Practitioner PractitionerRole Organization CareTeam"),
    reference("specimen", to="Specimen"),
    ours(reference("study", "imagingStudy", to="ImagingStudy")),
)

ENDPOINT: tuple[Param, ...] = (
    identifier(),
    code("status", system=HL7 + "endpoint-status"),
    string("name"),
    concept("connection-type", "connectionType"),
    concept("payload-type", "payloadType"),
    reference("organization", "managingOrganization", to="Organization"),
)

SERVICE_REQUEST: tuple[Param, ...] = (
    identifier(),
    identifier("requisition"),
    code("status", system=HL7 + "request-status"),
    code("intent", system=HL7 + "request-intent"),
    code("priority", system=HL7 + "request-priority"),
    reference("patient", "subject", to="Patient"),
    reference("subject", to="Patient Group Location Device"),
    concept("code"),
    concept("category"),
    concept("body-site", "bodySite"),
    concept("performer-type", "performerType"),
    date("authored", "authoredOn"),
    date("occurrence", "occurrenceDateTime", "occurrencePeriod", "occurrenceTiming"),
    reference("based-on", "basedOn", to="CarePlan ServiceRequest MedicationRequest"),
    reference("encounter", to="Encounter"),
    reference("performer", to=f"{_PERFORMERS} HealthcareService"),
    reference("replaces", to="ServiceRequest"),
    reference("requester", to="Practitioner PractitionerRole Organization Patient RelatedPerson Device"),
    reference("specimen", to="Specimen"),
    canonical("instantiates-canonical", "instantiatesCanonical", to="ActivityDefinition PlanDefinition"),
    uri("instantiates-uri", "instantiatesUri"),
)
