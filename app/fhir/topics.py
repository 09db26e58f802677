"""The topics to which one may subscribe: what each is about, and by what its events can be narrowed.

https://hl7.org/fhir/uv/subscriptions-backport/STU1.1/ (R5 topics carried in R4). The published SubscriptionTopic files
are held against this table.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from app.fhir.registry import TYPES

BASE = "https://imaging-registry.example/fhir/SubscriptionTopic/"


@dataclass(frozen=True, slots=True)
class Topic:
    """`resource`: what an event is about. `filters`: search parameters of that type that a subscription may use."""

    name: str
    title: str
    resource: str
    filters: tuple[str, ...]
    says: str

    @property
    def url(self) -> str:
        return BASE + self.name


_STUDY = ("patient", "modality", "identifier", "endpoint", "started", "status")
_CARE = ("patient", "organization", "status")

_ALL = (
    Topic(
        "imaging-study-available",
        "A study can be found and fetched",
        "ImagingStudy",
        _STUDY,
        "a study was registered or changed, or care or a choice of the patient now lets the subscriber see it",
    ),
    Topic(
        "imaging-study-withdrawn",
        "A study is no longer to be used",
        "ImagingStudy",
        _STUDY,
        "a study of which the subscriber was told was cancelled, entered in error or deleted, or may no longer be seen",
    ),
    Topic(
        "report-available",
        "A report can be read",
        "DiagnosticReport",
        ("patient", "status", "code", "identifier"),
        "a report was registered or changed, or care or a choice of the patient now lets the subscriber see it",
    ),
    Topic(
        "consent-changed",
        "A patient's choice was recorded, changed or withdrawn",
        "Consent",
        ("patient", "organization", "actor", "status", "scope"),
        "a Consent was recorded, changed or deleted",
    ),
    Topic(
        "episode-changed",
        "An organisation's responsibility for a patient began, changed or ended",
        "EpisodeOfCare",
        _CARE,
        "an EpisodeOfCare was recorded, changed or deleted",
    ),
    Topic(
        "prefetch-due",
        "Prior imaging may be fetched for a planned visit",
        "EpisodeOfCare",
        _CARE,
        "the window before a planned episode of care opened, or a day is left",
    ),
    Topic(
        "appointment-prefetch-due",
        "Prior imaging may be fetched for a booked visit",
        "Appointment",
        ("patient", "date", "status"),
        "the window before a booked appointment opened, or a day is left",
    ),
    Topic(
        "emergency-referral",
        "A patient is referred or transferred urgently",
        "ServiceRequest",
        ("patient", "performer", "priority", "status"),
        "an urgent ServiceRequest was recorded or changed",
    ),
    Topic(
        "source-silent",
        "An archive has stopped answering",
        "Endpoint",
        ("organization", "identifier"),
        "a harvested archive failed to answer for longer than the region allows",
    ),
)

TOPICS: dict[str, Topic] = {topic.url: topic for topic in _ALL}
BY_NAME: dict[str, Topic] = {topic.name: topic for topic in _ALL}


def has_events(type_name: str) -> bool:
    """Whether changes of the type can be subscribed to."""
    row = TYPES[type_name]
    return row.visibility not in ("conformance", "own") and "create" in row.interactions


R5 = "http://hl7.org/fhir/5.0/StructureDefinition/extension-SubscriptionTopic."


def as_basic(topic: Topic) -> dict[str, Any]:
    """The topic as R4 carries an R5 SubscriptionTopic: a Basic with the extensions of the cross-version packages.

    https://hl7.org/fhir/R5/versions.html#extensions
    """

    def said(name: str, kind: str, value: str) -> dict[str, Any]:
        return {"url": name, f"value{kind}": value}

    filters = [
        {
            "url": R5 + "canFilterBy",
            "extension": [
                said("resource", "Uri", topic.resource),
                said("filterParameter", "String", name),
                said("filterDefinition", "Uri", TYPES[topic.resource].params[name].definition),
            ],
        }
        for name in topic.filters
    ]
    trigger = {
        "url": R5 + "resourceTrigger",
        "extension": [said("description", "Markdown", topic.says), said("resource", "Uri", topic.resource)],
    }
    return {
        "resourceType": "Basic",
        "id": topic.name,
        "extension": [
            said(R5 + "url", "Uri", topic.url),
            said(R5 + "version", "String", "0.1.0"),
            said(R5 + "title", "String", topic.title),
            said(R5 + "status", "Code", "active"),
            said(R5 + "description", "Markdown", f"An event happens when {topic.says}."),
            trigger,
            *filters,
        ],
        "code": {"coding": [{"system": "http://hl7.org/fhir/fhir-types", "code": "SubscriptionTopic"}]},
    }
