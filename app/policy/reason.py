"""What each reason code means, in a sentence for privacy staff and the clause that it rests on. Codes never change."""

from __future__ import annotations

MEANINGS: dict[str, str] = {
    # steps 1 to 3
    "PURPOSE_MISSING": "the security context proves no purpose of use",
    "ORGANISATION_MISSING": "the client is not bound to an organisation",
    "ROLE_UNKNOWN": "the role is not one that policy knows",
    "CREDENTIAL_EXPIRED": "the credential is no longer good",
    "PATIENT_LINK_INDETERMINATE": "the links between the patient's records run in a circle or to a record that is missing",
    "PATIENT_MISMATCH": "the study is about somebody other than the patient in context",
    "PATIENT_CHANNEL_NOT_ENABLED": "the region does not open this to patients' own apps",
    "PATIENT_NOT_SELF": "a patient's app may see its own patient alone",
    "PATIENT_SELF": "the patient sees their own study",
    "PATIENT_RESTRICTED": "the patient's whereabouts are protected",
    "STUDY_ENTERED_IN_ERROR": "the study was entered in error, or its status cannot be read",
    "PURPOSE_NOT_DIRECT_CARE": "the purpose is not direct care",
    # step 4
    "ORIGIN": "the requester's organisation made the study",
    # steps 5 to 8
    "CONSENT_BASE_DENY": "the patient refused sharing",
    "CONSENT_BASE_PERMIT": "the patient allowed sharing",
    "CONSENT_EXCEPTION_DENY": "the patient refused this as an exception",
    "CONSENT_EXCEPTION_PERMIT": "the patient allowed this as an exception",
    "CONSENT_ROOT_PERMIT_NOT_MATCHED": "the patient allowed something else, and nothing beyond it",
    "IMPLIED_CONSENT": "nothing on file speaks of this, and care implies consent",
    "CONSENT_INDETERMINATE:MODIFIER": "a consent carries a modifier that is not understood",
    "CONSENT_INDETERMINATE:BAD_TYPE": "a provision is neither permit nor deny",
    "CONSENT_INDETERMINATE:NESTED_TYPE": "a nested provision does not say whether it permits or denies",
    "CONSENT_INDETERMINATE:NO_BASE": "a consent says neither permit nor deny, and its policy rule is not known",
    "CONSENT_INDETERMINATE:DEPTH": "provisions are nested more than four deep",
    "CONSENT_INDETERMINATE:TOO_MANY": "a consent has more than a thousand provisions",
    "CONSENT_INDETERMINATE:PROVISION": "a provision cannot be read",
    "CONSENT_INDETERMINATE:PERIOD": "the period of a consent cannot be read",
    "CONSENT_INDETERMINATE:DATA_PERIOD": "the period of the data that a consent concerns cannot be read",
    "CONSENT_INDETERMINATE:STATUS": "the status of a consent cannot be read",
    "CONSENT_INDETERMINATE:SCOPE": "the scope of a consent cannot be read",
    "CONSENT_INDETERMINATE:FORMAT": "the compiled form of a consent is of another version, and must be made again",
    # step 9
    "NO_RELATIONSHIP": "nothing makes the organisation part of the patient's care",
    "EPISODE_ACTIVE": "an episode of care is active at the organisation",
    "EPISODE_PLANNED": "an episode is planned and near",
    "APPOINTMENT_BOOKED": "an appointment is booked and near",
    "EPISODE_WAITLIST": "the patient is on the organisation's waiting list",
    "EPISODE_ONHOLD_TEAM": "the episode is on hold and its team names the practitioner",
    "EPISODE_FINISHED_GRACE": "the episode finished within the region's days of grace",
    "CARETEAM_MDT": "a current care team names the practitioner",
    "REFERRAL_EMERGENCY": "an urgent referral to the organisation is in its window",
    "EPISODE_OUT_OF_PERIOD": "the episode is active but not at this time",
    "EPISODE_TOO_EARLY": "the planned episode is too far ahead",
    "EPISODE_PLANNED_NO_START": "the planned episode has no start date",
    "EPISODE_PLANNED_STALE": "the planned episode should have begun and has not",
    "EPISODE_ONHOLD": "the episode is on hold and its team does not name the practitioner",
    "EPISODE_FINISHED": "the episode has finished",
    "EPISODE_CANCELLED": "the episode was cancelled",
    "EPISODE_ENTERED-IN-ERROR": "the episode was entered in error",
    "EPISODE_UNREADABLE": "the episode's status or period cannot be read",
    "APPOINTMENT_OUT_OF_WINDOW": "the appointment is not near",
    "CARETEAM_NOT_CURRENT": "the care team names the practitioner but is not current",
    "REFERRAL_ROUTINE": "the referral is routine, which makes no relationship by itself",
    "REFERRAL_REVOKED": "the referral was revoked",
    "REFERRAL_WINDOW_CLOSED": "the urgent referral is not in its window",
    # steps 10 to 12
    "BTG_SELF_CLAIMED": "the clinician broke the glass",
    "BTG_GRANT_MISSING": "the purpose is breaking the glass, and there is no emergency grant",
    "BTG_GRANT_INVALID": "the emergency grant is not for this, or no longer good",
    "BTG_OVERRIDE_BASE_DENY": "a vital interest overrides the patient's refusal, as the region decided",
    "BTG_OVERRIDE_EXCEPTION_DENY": "a vital interest overrides the patient's refusal of this, as the region decided",
    "BTG_OVERRIDE_ROOT_PERMIT_NOT_MATCHED": "a vital interest overrides the limits of what the patient allowed",
    "ROLE_NOT_ADMITTED": "the region gives clerical roles nothing",
    "ROLE_MAY_NOT_LOCATE": "the role may see that the study exists, but not fetch it",
}

FAMILIES = {
    "EPISODE_": "the episode's state opens nothing",
    "APPOINTMENT_": "the appointment's state opens nothing",
    "REFERRAL_": "the referral's state opens nothing",
}


def meaning(code: str) -> str:
    """The sentence for a code; the states of a resource that opens nothing share one."""
    return MEANINGS.get(code) or next(
        (text for start, text in FAMILIES.items() if code.startswith(start)), "not a known reason"
    )
