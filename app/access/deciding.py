"""One decision about one study, for a door that shows nothing itself: an archive's gate, or AuthZEN.

It is made now, by the same decision point as every answer; what is asked about is found by the decision point's own
grant, and whether it exists is told by the answer alone.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import orjson

from app.access import audit, information
from app.access.enforcement import Enforcement
from app.access.narrowing import admits
from app.access.scopes import ceiling
from app.access.subject import Subject
from app.fhir.search import parse
from app.policy.decide import Person, decide
from app.policy.duty import duties
from app.policy.grant import Grant, Reasoned
from app.policy.model import Decision, Request, Requester
from app.policy.study import compile_study
from app.storage import search, uids
from app.storage.engine import Tx
from app.storage.projection import resolver
from app.storage.resources import Stored

UNKNOWN = Decision("DENY", ("STUDY_UNKNOWN",))
ANOTHERS = Decision("DENY", ("INSTANCE_OF_ANOTHER_STUDY",))
BEYOND_SCOPES = Decision("DENY", ("SCOPE_DOES_NOT_REACH",))


@dataclass(frozen=True, slots=True)
class Asked:
    """What is asked about: a study by its UID (or `ImagingStudy/id`), and where the request names them a series and an
    instance of it. `strict`: those must be known to the registry; else they must not be known as another study's."""

    study: str
    series: str | None = None
    instance: str | None = None
    strict: bool = False


@dataclass(frozen=True, slots=True)
class Answered:
    """A decision with its id, already in the audit. `study` is the reference, None where there is no such study."""

    id: str
    decision: Decision
    study: str | None


def decide_one(
    tx: Tx,
    enforcement: Enforcement,
    subject: Subject,
    asked: Asked,
    action: str,
    *,
    detail: str = "",
    request_id: str = "",
) -> Answered:
    """Whether `subject` may discover, read or locate the study. Recorded with it: a permission to locate is a
    disclosure."""
    grant = enforcement.for_deciding(tx, "DECISION", "ImagingStudy")
    requester = enforcement.requester(tx, subject)
    found, known = _found(tx, grant, requester, asked.study)
    decision, named, beside = UNKNOWN, tuple[str, ...](), False
    if found is not None:
        decision, patients = _decided(tx, enforcement, subject, requester, found, known, action)
        if decision.permitted and not _holds(tx, found, asked):
            decision = ANOTHERS
        beside = decision in (ANOTHERS, BEYOND_SCOPES)
        named = tuple(patients.values())
        said = Reasoned(
            decision.effect, decision.reasons, _without_policy(decision), decision.obligations, decision.expires
        )
        # What refuses beside policy is recorded as refused, and not as a decision of policy that could be made again.
        grant = replace(grant, patients=patients, reasoned={} if beside else dict.fromkeys(named, said))
    shown = [replace(found, locatable=action == "locate")] if found is not None and decision.permitted else []
    audit.record(
        tx,
        subject,
        replace(grant, reasons=decision.reasons),
        "operation",
        "ImagingStudy",
        status=403 if beside else 200,
        disclosed=shown,
        detail=f"{detail or 'decision'}: {action}",
        request_id=request_id,
        named=named,
        asked=(found.versioned,) if found is not None and not shown else (),
    )
    return Answered(grant.decision, decision, found.ref if found is not None else None)


def holding(tx: Tx, level: str, uid: str) -> str | None:
    """The one study in force (`ImagingStudy/id`) that holds this `series` or `instance`, to be decided about."""
    found = uids.studies_holding(tx, [uid], level)
    return f"ImagingStudy/{found.pop()}" if len(found) == 1 else None


def _found(tx: Tx, grant: Grant, requester: Requester, study: str) -> tuple[Stored | None, information.Known]:
    """The study and the facts of its patient, by its UID in one round trip."""
    tree, practitioner = sorted(requester.tree), requester.practitioner
    if not study.startswith("ImagingStudy/"):
        uid = study.removeprefix("urn:oid:")
        known = information.ahead_of_study(tx, uid, tree, practitioner)
        return uids.study(tx, grant, uid), known()
    query = parse("ImagingStudy", [("_id", study.partition("/")[2]), ("_count", "2")], zone=tx.zone, at=tx.at)
    entries = search.run(tx, grant, query).entries
    if len(entries) != 1:
        return None, information.Known()
    return entries[0], information.of_resource(tx, "ImagingStudy", entries[0].id, tree, practitioner)


def _holds(tx: Tx, found: Stored, asked: Asked) -> bool:
    """Whether the series and the instance are the study's: an archive may heed the last UID of an address alone."""
    if asked.series is None:
        return True
    series = {one.get("uid"): one for one in orjson.loads(found.content).get("series", ())}
    if not series:
        known, level, uid = False, "series", asked.series
    elif asked.series not in series:
        known, level, uid = True, "series", asked.series
    else:
        instances = {one.get("uid") for one in series[asked.series].get("instance", ())}
        if asked.instance is None or asked.instance in instances:
            return True
        known, level, uid = bool(instances), "instance", asked.instance
    if asked.strict and known:
        return False
    return not uids.elsewhere(tx, level, uid, found.rid)


def _decided(
    tx: Tx,
    enforcement: Enforcement,
    subject: Subject,
    requester: Requester,
    found: Stored,
    known: information.Known,
    action: str,
) -> tuple[Decision, dict[int, str]]:
    person = known.groups[0].person if known.groups else Person(frozenset())
    for record in known.records.values():
        tx.memory.setdefault(("means", record), record)
    content = orjson.loads(found.content)
    slices = ceiling(subject, "ImagingStudy", "read").get("ImagingStudy") if subject.scopes else None
    if slices is not None and not admits(tx, slices, content):
        return BEYOND_SCOPES, known.records
    study = replace(compile_study(content, resolver(tx), found.owner, tx.zone), ref=found.ref)
    request = Request(requester, subject.purpose, action, grant=subject.emergency)
    decision = decide(request, person, study, enforcement.switches, tx.at)
    if due := tuple(duties(request, person, [decision], tx.at)):
        enforcement.discharge(tx, due)
    return decision, known.records


def _without_policy(decision: Decision) -> tuple[str, ...]:
    return tuple(one for one in decision.basis if not one.startswith("policy:"))
