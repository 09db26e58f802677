"""The operations beyond the standard interactions, once: https://hl7.org/fhir/R4/operations.html

Routes, CapabilityStatement and OpenAPI are held against this table by tests. To add one: a row here, a route in
`rest/routes.py`.
"""

from __future__ import annotations

from dataclasses import dataclass

BACKPORT = "http://hl7.org/fhir/uv/subscriptions-backport/OperationDefinition/"
OURS = "https://imaging-registry.example/fhir/OperationDefinition/"
HL7 = "http://hl7.org/fhir/OperationDefinition/"


@dataclass(frozen=True, slots=True)
class Operation:
    """`levels`: system | type | instance. `types` () are all that are held. `definition` is a canonical URL."""

    name: str
    levels: tuple[str, ...]
    definition: str
    says: str
    types: tuple[str, ...] = ()
    methods: tuple[str, ...] = ("POST",)

    def on(self, type_name: str) -> bool:
        return not self.types or type_name in self.types


OPERATIONS: dict[str, Operation] = {
    one.name: one
    for one in (
        Operation(
            "validate",
            ("type", "instance"),
            HL7 + "Resource-validate",
            "Say everything that is wrong with a resource; nothing is stored.",
        ),
        Operation(
            "record-choice",
            ("type",),
            OURS + "record-choice",
            "Put a patient's opt-out or opt-in into force as one step, once.",
            ("Consent",),
        ),
        Operation(
            "break-glass",
            ("type", "instance"),
            OURS + "break-glass",
            "Give a clinician time-boxed access to a patient's images in an emergency; privacy officers are told.",
            ("Patient",),
        ),
        Operation(
            "emergency-access",
            ("instance",),
            OURS + "emergency-access",
            "Say which emergency access one holds for a patient, and until when.",
            ("Patient",),
            ("GET",),
        ),
        Operation(
            "end-break-glass",
            ("instance",),
            OURS + "end-break-glass",
            "End an emergency access before its time.",
            ("Patient",),
        ),
        Operation(
            "review-break-glass",
            ("instance",),
            OURS + "review-break-glass",
            "Say whether an emergency access was justified, or open the function again after a burst.",
            ("Task",),
        ),
        Operation(
            "prefetch",
            ("instance",),
            OURS + "prefetch",
            "Say which prior studies are worth fetching before a visit, and may be, the first to be fetched first.",
            ("Appointment", "EpisodeOfCare"),
            ("GET",),
        ),
        Operation(
            "submit-choice",
            ("type",),
            OURS + "submit-choice",
            "Take a patient's choice as the answers to the form, and open the request that leads to a Consent.",
            ("QuestionnaireResponse",),
        ),
        Operation(
            "advance-request",
            ("instance",),
            OURS + "advance-request",
            "Move a request by form to its next state, or say that a letter was sent.",
            ("Task",),
        ),
        Operation(
            "process-message",
            ("system",),
            HL7 + "MessageHeader-process-message",
            "Take what a record system says happened to a visit, and work out the patient's EpisodeOfCare anew.",
        ),
        Operation(
            "convene-mdt",
            ("type",),
            OURS + "convene-mdt",
            "Open the images of a list of patients to the named reviewers of a meeting, for a time.",
            ("CareTeam",),
        ),
        Operation(
            "disclosures",
            ("instance",),
            OURS + "disclosures",
            "Say in plain words who was shown what of a patient's, when, why and on what ground.",
            ("Patient",),
            ("GET",),
        ),
        Operation(
            "status",
            ("instance",),
            BACKPORT + "backport-subscription-status",
            "Say how a subscription stands and how many events were sent.",
            ("Subscription",),
            ("GET", "POST"),
        ),
        Operation(
            "events",
            ("instance",),
            BACKPORT + "backport-subscription-events",
            "Give events that were sent before, by their numbers, as they may be told now.",
            ("Subscription",),
            ("GET", "POST"),
        ),
        Operation(
            "everything",
            ("instance",),
            HL7 + "Patient-everything",
            "The patient and all of the record that the requester may see.",
            ("Patient",),
            ("GET", "POST"),
        ),
        Operation(
            "match",
            ("type",),
            HL7 + "Patient-match",
            "Who fits these demographics: anyone for a feed, else those in the organisation's care.",
            ("Patient",),
        ),
        Operation(
            "explain-access",
            ("type", "instance"),
            OURS + "explain-access",
            "Why a requester may or may not see the studies of a patient.",
            ("ImagingStudy",),
            ("GET", "POST"),
        ),
        Operation(
            "manifest",
            ("instance",),
            OURS + "manifest",
            "Say what a study is made of and where it is, as a document of its own.",
            ("ImagingStudy",),
            ("GET",),
        ),
        Operation(
            "source-health",
            ("type",),
            OURS + "source-health",
            "Say which archives are read as they should be, and which are silent, so that studies of theirs may be missing.",
            ("Endpoint",),
            ("GET",),
        ),
    )
}
