"""From instances to the registry: group by study, find the patient, merge with what is known, write if it changed.

Gather, decide, apply for each study by itself: one that is held, refused or fails leaves the others alone. A second
run with the same input changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from app.fhir import merging
from app.fhir.outcome import Fault
from app.fhir.study import STUDY_ORDER, in_order
from app.ingest import identity, manifest, mapping
from app.ingest.files import Read, Skipped
from app.ingest.mapping import Assembled, Instance
from app.ingest.registry import Conflict, Held, Registry, Rejected
from app.ingest.report import Report
from app.ingest.source import Source
from app.pathways.identity_review import COLLISION

ATTEMPTS = 5
TRIED = 50  # held studies that are tried again in a round


class Batch:
    """Instances read so far, by study. Two patients under one study UID, or one SOP UID in two series, is an alarm."""

    def __init__(self, source: Source, report: Report) -> None:
        self.source = source
        self.report = report
        self.studies: dict[str, list[Instance]] = {}
        self.rejections: list[manifest.Rejection] = []
        self._homes: dict[str, tuple[str, str]] = {}
        self._patients: dict[str, tuple[str, str]] = {}
        self._alarmed: set[tuple[str, str]] = set()

    def take(self, found: Read | Skipped) -> None:
        """Add one file's content, or its reason for having none."""
        self.report.files += 1
        if isinstance(found, Skipped):
            self.report.skip(found.name, found.reason)
            return
        try:
            rejection = manifest.rejection(found.dataset)
            if rejection is not None:
                self.rejections.append(rejection)
                self.report.read += 1
                return
            instances = [mapping.instance(found.dataset, self.source), *manifest.listed(found.dataset, self.source)]
        except mapping.Unusable as error:
            self.report.skip(found.name, str(error))
            return
        self.report.read += 1
        for instance in instances:
            self._add(found.name, instance)

    def _add(self, name: str, instance: Instance) -> None:
        uid = instance.study_uid
        home = self._homes.setdefault(instance.sop_uid, (uid, instance.series_uid))
        if home != (uid, instance.series_uid):
            self._alarm(name, uid, "a sop instance uid is in two series; the second was refused")
            return
        person = self._patients.setdefault(uid, instance.person.key)
        if person != instance.person.key:
            self._alarm(name, uid, "the study uid is used for two patients; what belongs to the second was refused")
            return
        self.report.people.add(instance.person.key)
        self.studies.setdefault(uid, []).append(instance)

    def _alarm(self, name: str, uid: str, reason: str) -> None:
        self.report.skip(name, reason)
        if (uid, reason) not in self._alarmed:
            self._alarmed.add((uid, reason))
            self.report.alarm(uid, reason)

    def assembled(self) -> list[Assembled]:
        """Each study of what was read, in the order of study UIDs, counted in the report. An image that came with its
        own rejection is not in it: the archive keeps such images, and shows them to nobody."""
        gone = {(uid, sop) for one in self.rejections for uid, sops in one.studies.items() for sop in sops}
        left = {
            uid: kept
            for uid, instances in sorted(self.studies.items())
            if (kept := [one for one in instances if (uid, one.sop_uid) not in gone])
        }
        found = [mapping.assemble(kept, self.source) for kept in left.values()]
        self.report.studies += len(found)
        self.report.series += sum(one.resource["numberOfSeries"] for one in found)
        self.report.instances += sum(one.resource["numberOfInstances"] for one in found)
        return found


def ingest(found: Iterable[Read | Skipped], source: Source, registry: Registry, *, dry_run: bool = False) -> Report:
    """Everything in `found` into the registry, as this source's."""
    report = Report(source.endpoint, dry_run)
    batch = Batch(source, report)
    for one in found:
        batch.take(one)
    for study in batch.assembled():
        apply(study, source, registry, report)
    for rejection in batch.rejections:
        reject(rejection, source, registry, report)
    return report


def apply(study: Assembled, source: Source, registry: Registry, report: Report, *, whole: bool = False) -> None:
    """One study into the registry. whole: it is all that the archive has of it."""
    for note in study.notes:
        report.notes[(note.element, note.reason)] += 1
    try:
        _apply(study, source, registry, report, whole)
    except merging.Collision as error:
        report.alarm(study.uid, str(error))
        if not report.dry_run:
            registry.hold(Held(study.uid, source.endpoint, COLLISION, str(error), study.person, study.resource))
    except Rejected as error:
        report.fail(study.uid, str(error))
    except Fault as error:
        report.fail(study.uid, error.text)


def _apply(study: Assembled, source: Source, registry: Registry, report: Report, whole: bool) -> None:
    verdict = identity.match(study.person, registry.find_patients(study.person.identifiers))
    if isinstance(verdict, identity.Unmatched) and (patient := registry.chosen(study.person)):
        verdict = identity.Matched(identity.Known(patient))
    if isinstance(verdict, identity.Unmatched):
        _hold(study, source, registry, report, verdict.code, verdict.reason)
        return
    sop_uids = [found["uid"] for one in study.resource.get("series", []) for found in one.get("instance", [])]
    if registry.foreign(study.uid, sop_uids):
        raise merging.Collision("a sop instance uid is known in another study; refused")
    incoming = in_order({**study.resource, "subject": {"reference": verdict.patient.reference}}, STUDY_ORDER)
    for _attempt in range(ATTEMPTS):
        current = registry.find_study(study.uid)
        if current is not None and current[0].get("status") == "entered-in-error":
            reason = "the study is marked entered in error and was sent again"
            _hold(study, source, registry, report, "entered-in-error", reason)
            return
        resource = merging.merged(current[0] if current else None, incoming, source.endpoint, whole=whole)
        if current is not None and resource == current[0]:
            report.unchanged.append(study.uid)
            break
        if not report.dry_run:
            try:
                registry.put_study(resource, current[1] if current else None)
            except Conflict:
                continue
        (report.updated if current else report.created).append(study.uid)
        break
    else:
        raise Rejected("the study was changed by others each time it was to be written")
    if not report.dry_run:
        registry.settle(study.uid, source.endpoint)


def _hold(study: Assembled, source: Source, registry: Registry, report: Report, code: str, reason: str) -> None:
    report.hold(study.uid, code, reason)
    if not report.dry_run:
        registry.hold(Held(study.uid, source.endpoint, code, reason, study.person, study.resource))


def try_again(source: Source, registry: Registry, report: Report, most: int = TRIED) -> None:
    """Studies that waited for their patient to become known are taken in where that has happened. The rest wait on."""
    for held in registry.unknown(most):
        tried = Report(source.endpoint)
        apply(Assembled(held.study_uid, held.person, held.resource), source, registry, tried)
        report.created += tried.created
        report.updated += tried.updated
        report.alarms += tried.alarms
        report.failed += tried.failed


def withdraw(uid: str, source: Source, registry: Registry, report: Report) -> None:
    """A study that the archive has no more: its endpoint goes at once."""
    _change(uid, registry, report, partial(merging.withdrawn, endpoint=source.endpoint))


def reject(rejection: manifest.Rejection, source: Source, registry: Registry, report: Report) -> None:
    """Apply a rejection note (IHE IOCM) to each study that it names."""
    for uid, instances in rejection.studies.items():
        change = partial(merging.rejected, instances=instances, endpoint=source.endpoint, status=rejection.status)
        _change(uid, registry, report, change)


def _change(uid: str, registry: Registry, report: Report, change: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    try:
        for _attempt in range(ATTEMPTS):
            current = registry.find_study(uid)
            if current is None:
                return
            resource = change(current[0])
            if resource == current[0]:
                report.unchanged.append(uid)
                return
            if not report.dry_run:
                try:
                    registry.put_study(resource, current[1])
                except Conflict:
                    continue
            report.withdrawn.append(uid)
            return
        raise Rejected("the study was changed by others each time it was to be written")
    except (Rejected, Fault) as error:
        report.fail(uid, str(error))
