"""The choices that demo patients have recorded: opted out, opted in, and in part."""

from __future__ import annotations

from app.demo.naming import Clock, Resource, coding, concept, reference
from app.demo.organisations import CEDARHOLME

POLICY = "https://imaging-registry.example/fhir/policy/image-sharing"
ACTS = "v3-ActCode"
REASONS = "v3-ActReason"
DCM = "http://dicom.nema.org/resources/ontology/DCM"


def consent(id: str, patient: str, at: str, provision: Resource, act: str) -> Resource:
    """An active privacy Consent of the region's image-sharing domain. `act` is the patient's own: OPTIN or OPTOUT."""
    return {
        "resourceType": "Consent",
        "id": id,
        "status": "active",
        "scope": concept("consentscope", "patient-privacy", "Privacy Consent"),
        "category": [concept("http://loinc.org", "59284-0", "Consent Document")],
        "patient": reference(f"Patient/{patient}"),
        "dateTime": at,
        "performer": [reference(f"Patient/{patient}")],
        "organization": [reference("Organization/threewoods")],
        "sourceAttachment": {"title": "Form at the region's choices page"},
        "policy": [{"uri": POLICY}],
        "policyRule": concept(ACTS, act),
        "provision": provision,
    }


def consents(clock: Clock) -> list[Resource]:
    """Each with what its patient asked for, in the patient's words, above it."""
    at = clock.moment(days=-30)
    return [
        # "Do not share my images with anyone."
        consent("rowan-opt-out", "rowan", at, {"type": "deny"}, "OPTOUT"),
        # "Share my images with whoever treats me."
        consent("birch-opt-in", "birch", at, {"type": "permit"}, "OPTIN"),
        # "Share my images, but not the MR ones."
        consent(
            "willow-no-mr",
            "willow",
            at,
            {"type": "permit", "provision": [{"type": "deny", "code": [concept(DCM, "MR", "Magnetic Resonance")]}]},
            "OPTIN",
        ),
        # "Share my images, but not those that Cedarholme made."
        consent(
            "aspen-not-from-cedarholme",
            "aspen",
            at,
            {
                "type": "permit",
                "provision": [
                    {"type": "deny", "data": [{"meaning": "authoredby", "reference": reference(CEDARHOLME.reference)}]}
                ],
            },
            "OPTIN",
        ),
        # "Do not share my images, except in an emergency."
        consent(
            "poplar-emergency-only",
            "poplar",
            at,
            {
                "type": "deny",
                "provision": [{"type": "permit", "purpose": [coding(REASONS, "ETREAT"), coding(REASONS, "BTG")]}],
            },
            "OPTOUT",
        ),
    ]
