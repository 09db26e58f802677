"""Search parameters of the types that say who and where: people, organisations, places, groups.

https://hl7.org/fhir/R4/patient.html#search · organization · location · practitioner · practitionerrole · group.
`phonetic` and `near` are left out: they need an algorithm and an index that this server has not.
"""

from __future__ import annotations

from app.fhir.parameters import (
    HL7,
    addresses,
    boolean,
    code,
    concept,
    contact,
    date,
    exists,
    human_name,
    identifier,
    reference,
    string,
    telecoms,
    uri,
)
from app.fhir.query import Param

_GENDER = HL7 + "administrative-gender"

PATIENT: tuple[Param, ...] = (
    identifier(),
    boolean("active"),
    human_name("name"),
    string("family", "name.family"),
    string("given", "name.given"),
    code("gender", system=_GENDER),
    date("birthdate", "birthDate"),
    date("death-date", "deceasedDateTime"),
    exists("deceased", "deceasedBoolean", "deceasedDateTime"),
    reference("general-practitioner", "generalPractitioner", to="Practitioner PractitionerRole Organization"),
    reference("organization", "managingOrganization", to="Organization"),
    reference("link", "link.other", to="Patient RelatedPerson"),
    concept("language", "communication.language"),
    *addresses(),
    *telecoms(),
)

ORGANIZATION: tuple[Param, ...] = (
    identifier(),
    boolean("active"),
    string("name", "name", "alias"),
    concept("type"),
    reference("partof", "partOf", to="Organization"),
    reference("endpoint", to="Endpoint"),
    *addresses(),
)

LOCATION: tuple[Param, ...] = (
    identifier(),
    code("status", system=HL7 + "location-status"),
    concept("operational-status", "operationalStatus"),
    string("name", "name", "alias"),
    concept("type"),
    reference("organization", "managingOrganization", to="Organization"),
    reference("partof", "partOf", to="Location"),
    reference("endpoint", to="Endpoint"),
    *addresses(),
)

PRACTITIONER: tuple[Param, ...] = (
    identifier(),
    boolean("active"),
    human_name("name"),
    string("family", "name.family"),
    string("given", "name.given"),
    code("gender", system=_GENDER),
    concept("communication"),
    *addresses(),
    *telecoms(),
)

PRACTITIONER_ROLE: tuple[Param, ...] = (
    identifier(),
    boolean("active"),
    date("date", "period"),
    reference("practitioner", to="Practitioner"),
    reference("organization", to="Organization"),
    reference("location", to="Location"),
    reference("service", "healthcareService", to="HealthcareService"),
    reference("endpoint", to="Endpoint"),
    concept("role", "code"),
    concept("specialty"),
    *telecoms(),
)

GROUP: tuple[Param, ...] = (
    identifier(),
    boolean("actual"),
    code("type", system=HL7 + "group-type"),
    concept("code"),
    concept("characteristic", "characteristic.code"),
    boolean("exclude", "characteristic.exclude"),
    reference("managing-entity", "managingEntity", to="Organization RelatedPerson Practitioner PractitionerRole"),
    reference(
        "member",
        "member.entity",
        to="Patient Practitioner PractitionerRole Device Medication Substance Group",
    ),
)

SUBSCRIPTION: tuple[Param, ...] = (
    code("status", system=HL7 + "subscription-status"),
    code("type", "channel.type", system=HL7 + "subscription-channel-type"),
    code("payload", "channel.payload", system="urn:ietf:bcp:13"),
    uri("url", "channel.endpoint"),
    contact("contact"),
    string("criteria"),
)
