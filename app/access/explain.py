"""Why a requester may or may not see each study of a patient: the decision, told rule by rule."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import orjson

from app.access import information
from app.access.enforcement import Enforcement
from app.access.information import Names
from app.access.subject import Subject
from app.fhir.identifier import NHS_NUMBER
from app.fhir.query import Token
from app.fhir.temporal import format_instant
from app.policy import explain as policy
from app.policy.decide import Person, decide
from app.policy.grant import Grant
from app.policy.model import Request, Study
from app.policy.study import compile_study
from app.storage import resources
from app.storage.engine import Tx
from app.storage.projection import resolver


@dataclass(frozen=True, slots=True)
class Explained:
    """`study` is its UID and reference, and `ref` the reference, None where the patient has none to tell of."""

    study: str | None
    effect: str
    reasons: tuple[str, ...]
    basis: tuple[str, ...]
    expires: str | None
    steps: tuple[policy.Step, ...]
    ref: str | None = None

    def as_json(self) -> dict[str, Any]:
        return {
            "study": self.study,
            "effect": self.effect,
            "reasons": list(self.reasons),
            "basis": list(self.basis),
            "expires": self.expires,
            "steps": [step.as_json() for step in self.steps],
        }


def explain(
    tx: Tx, enforcement: Enforcement, subject: Subject, nhs_number: str, at: int, uid: str | None = None
) -> list[Explained]:
    """What is explained of the patient with this NHS number."""
    names = Names(identifiers=(Token(NHS_NUMBER, nhs_number.replace(" ", "")),))
    return explained(tx, enforcement, subject, names, at, uid)


def explained(
    tx: Tx, enforcement: Enforcement, subject: Subject, names: Names, at: int, only: str | None = None
) -> list[Explained]:
    """One Explained for each study of the patient (or the one with this id or UID), and one without a study if there
    is none.

    An unknown patient is explained as someone without a relationship, which is what the requester is told too.
    """
    requester = enforcement.requester(tx, subject)
    known = information.of_names(tx, names, sorted(requester.tree), requester.practitioner)
    found: list[Explained] = []
    for group in known.groups or (information.Group((), Person(frozenset())),):
        request = Request(requester, subject.purpose, grant=subject.emergency)
        grant = enforcement.for_explaining(tx, group.rids)
        studies = [study for rid in group.rids for study in studies_of(tx, grant, rid, only)]
        found += [_explained(request, group.person, label, study, enforcement, at) for label, study in studies]
        if not studies:
            found.append(_explained(request, group.person, None, None, enforcement, at))
    return found


def _explained(
    request: Request, person: Person, label: str | None, study: Study | None, enforcement: Enforcement, at: int
) -> Explained:
    steps = policy.explain(request, person, study, enforcement.switches, at)
    judged = study or Study("ImagingStudy/none", next(iter(person.patients), None))
    decision = decide(request, person, judged, enforcement.switches, at)
    until = format_instant(decision.expires) if decision.expires is not None else None
    return Explained(
        label, decision.effect, decision.reasons, decision.basis, until, steps, study.ref if study else None
    )


def studies_of(tx: Tx, grant: Grant, patient: int, only: str | None = None) -> list[tuple[str, Study]]:
    """The studies of one record (rid), as policy sees them, each with its UID and reference."""
    found = []
    for one in resources.studies_about(tx, grant, patient):
        content = orjson.loads(one.content)
        values = [identifier.get("value", "") for identifier in content.get("identifier") or ()]
        uids = [value.removeprefix("urn:oid:") for value in values if value.startswith("urn:oid:")]
        if only is not None and only.removeprefix("urn:oid:") not in (*uids, one.id):
            continue
        study = compile_study(content, resolver(tx), one.owner, tx.zone)
        found.append((f"{uids[0]} ({one.ref})" if uids else one.ref, replace(study, ref=one.ref)))
    return found
