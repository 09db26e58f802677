"""Episodes of care from what record systems say happened: Encounters and Appointments, sent as FHIR messages (nhs.md, section 4).

No HL7 v2 message makes an EpisodeOfCare. Each message becomes an event in a log; the episode is worked out anew from all
events of its patient and pathway, so that order, repetition and delay change nothing.
"""
