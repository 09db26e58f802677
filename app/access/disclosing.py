"""Who is told of the disclosures of a patient's data: the patient, and the privacy role as far as it knows the patient."""

from __future__ import annotations

from dataclasses import replace

from app.access import information, permissions
from app.access.enforcement import Enforcement
from app.access.reasoning import note
from app.access.scopes import authorize
from app.access.subject import Subject
from app.fhir.outcome import Fault
from app.fhir.search import parse
from app.policy.grant import About, Everything, Grant
from app.storage.engine import Tx


def permit(tx: Tx, enforcement: Enforcement, subject: Subject, id: str) -> tuple[Grant, bool]:
    """The audit about one person, and whether that is all of it: for the patient's own token and an organisation that
    knows the patient; else what the privacy officer's own organisation did. Raises Fault "forbidden"."""
    authorize(subject, "AuditEvent", "search-type")
    if subject.role == "patient" and subject.patient == f"Patient/{id}":
        known = information.of_names(tx, information.Names(ids=(id,)), [], None)
        rids = tuple(known.records)
        grant = enforcement.for_deciding(tx, "OWN_RECORD", "AuditEvent", patients=rids)
        return note(tx, replace(grant, patients=known.records, purpose=subject.purpose)), True
    if not permissions.reads_privacy(subject) and not (subject.kind == "steward" and enforcement.reads_all):
        raise Fault(
            "forbidden",
            "this is told to the patient and the privacy role; expected one of them",
            detail="ACCESS_DENIED",
        )
    query = parse("AuditEvent", [("patient", f"Patient/{id}")], base_url="", zone=tx.zone, at=tx.at)
    grant = enforcement.permit(tx, subject, "search-type", "AuditEvent", query=query)
    if not grant.patients:
        known = information.of_names(tx, information.Names(ids=(id,)), [], None)
        grant = note(tx, replace(grant, patients=known.records))
    return grant, any(isinstance(rule, About | Everything) for rule in grant.rows.get("AuditEvent", ()))
