"""One round of harvesting one archive: read on from where the last round ended, or compare everything.

What was read is written before the position moves on, so a round that is cut short is done again, not lost. A failure
is kept with the source's state and leaves the other sources alone. Of several processes one reads an archive at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from functools import partial

from pydicom.dataset import Dataset

from app.ingest import http, mapping, sync
from app.ingest.configured import Configured
from app.ingest.files import Read, Skipped
from app.ingest.holding import Held, Lost
from app.ingest.http import Unavailable, Unreadable
from app.ingest.orthanc import Orthanc
from app.ingest.qido import Qido, windows
from app.ingest.reading import Reader
from app.ingest.registry import Registry
from app.ingest.report import Report
from app.ingest.source import Source
from app.storage import sources
from app.storage.engine import Store
from app.storage.sources import State

# More than this share of an archive's studies gone at once is an archive in trouble rather than one that was tidied.
SHARE_MAX = 0.5
FEW = 5
REFUSED_MAX = 20  # studies in a row that an archive may fail to give before it is taken to be in trouble
SECOND = 1_000_000
MINUTE = 60 * SECOND


def run(
    configured: Configured,
    source: Source,
    registry: Registry,
    store: Store,
    *,
    reconcile: bool | None = False,
    force: bool = False,
) -> Report:
    """One round. The state is saved whatever happens; the report says what did.

    reconcile: compare everything; None: where that is due by the source's own setting.
    """
    report = Report(source.endpoint)
    began = State(configured.name, configured.kind, source.endpoint, patience=configured.silent_minutes * MINUTE)
    held = Held.claim(store, began)
    if held is None:
        report.elsewhere = True
        return report
    state, at = held.state, store.clock()
    if reconcile is None:
        reconcile = state.succeeded > 0 and at - state.reconciled > configured.reconcile_hours * 60 * MINUTE
    connection = http.session(configured.timeout, configured.credentials)
    round_ = _Round(configured, source, registry, report, held, force)
    try:
        try:
            if configured.kind == "orthanc":
                archive = Orthanc(configured.url, connection)
                round_.orthanc_whole(archive, state, at) if reconcile else round_.orthanc(archive, state)
            else:
                qido = Qido(configured.url, connection)
                today = datetime.fromtimestamp(at / SECOND, UTC).date() + timedelta(days=1)
                round_.qido_whole(qido, state, at) if reconcile else round_.qido(qido, state, today)
            sync.try_again(source, registry, report)
            failures, problem, succeeded = 0, "", store.clock()
        except Unavailable as error:
            report.fail(configured.name, str(error))
            failures, problem, succeeded = state.failures + 1, str(error), state.succeeded
        held.save(replace(held.state, failures=failures, problem=problem, attempted=at, succeeded=succeeded))
        _count(store, configured.name, at, report, failures)
    except Lost:
        report.elsewhere = True
    finally:
        held.release()
        connection.close()
    return report


def _count(store: Store, name: str, at: int, report: Report, failures: int) -> None:
    day = datetime.fromtimestamp(at / SECOND, UTC).date().isoformat()
    changed = len(report.created) + len(report.updated) + len(report.withdrawn)
    if changed or failures:
        store.retry(lambda tx: sources.count(tx, name, day, changed, min(failures, 1)))


class _Round:
    """What a round does, and the names of studies that the archive would not give in it."""

    def __init__(
        self,
        configured: Configured,
        source: Source,
        registry: Registry,
        report: Report,
        held: Held,
        force: bool,
    ) -> None:
        self.configured = configured
        self.source = source
        self.registry = registry
        self.report = report
        self.held = held
        self.save = held.save
        self.force = force
        self.pending: dict[str, None] = {}
        self.refused = 0

    def orthanc(self, archive: Orthanc, state: State) -> None:
        """Ask again for what was not given, then read the change feed to its end."""
        newest = archive.newest()
        if newest < state.position:
            state = replace(state, position=0, pending="")  # another database stands there now
        for id in state.pending.split():
            self._study(id, partial(archive.datasets, id), again=True)
        while True:
            page = archive.changes(state.position)
            for id in page.studies:
                self._study(id, partial(archive.datasets, id))
            lag = max(newest - page.last, 0) + len(self.pending)
            state = replace(state, position=max(page.last, state.position), lag=lag, pending=self._left())
            self.save(state)
            if page.done:
                return

    def orthanc_whole(self, archive: Orthanc, state: State, at: int) -> None:
        """Compare all: take in what was missed, withdraw what is gone."""
        position = archive.newest()
        listed: set[str] = set()
        for id, uid in archive.studies():
            listed.add(uid)
            self._study(id, partial(self._unless_known, archive, id, uid))
        self._withdraw(listed, archive.gone)
        self.save(replace(state, position=position, lag=len(self.pending), pending=self._left(), reconciled=at))

    def _unless_known(self, archive: Orthanc, id: str, uid: str) -> list[Dataset | None] | None:
        return None if self._known(uid, archive.instances(id)) else archive.datasets(id)

    def qido(self, archive: Qido, state: State, today: date) -> None:
        """Read the last days again, and on the first round everything before them."""
        first = date.fromisoformat(self.configured.from_day)
        recent = max(first, today - timedelta(days=self.configured.days))
        for uid in state.pending.split():
            self._study(uid, partial(archive.datasets, uid), again=True)
        self._days(archive, recent, today)
        if not state.day:
            self._days(archive, first, recent - timedelta(days=1))
        elif date.fromisoformat(state.day) < recent:
            self._days(archive, date.fromisoformat(state.day), recent - timedelta(days=1))
        self.save(replace(state, day=today.isoformat(), lag=len(self.pending), pending=self._left()))

    def qido_whole(self, archive: Qido, state: State, at: int) -> None:
        """Compare all, studies without a date too: take in what was missed, withdraw what is gone."""
        self._withdraw(self._listed(archive, None, None), archive.gone)
        self.save(replace(state, lag=len(self.pending), pending=self._left(), reconciled=at))

    def _days(self, archive: Qido, first: date, last: date) -> None:
        for start, end in windows(first, last):
            self._listed(archive, start, end)

    def _listed(self, archive: Qido, first: date | None, last: date | None) -> set[str]:
        """Take in what the archive lists; the UIDs listed."""
        listed: set[str] = set()
        for stated in archive.studies(first, last):
            reader = Reader(stated)
            try:
                uid = reader.uid("StudyInstanceUID")
            except ValueError:
                uid = None
            if uid is None:
                self.report.skip(self.configured.name, "a study without a usable study uid was listed")
                continue
            listed.add(uid)
            if not self._known(uid, reader.unsigned("NumberOfStudyRelatedInstances")):
                self._study(uid, partial(self._instances_or_word, archive, uid, reader))
        return listed

    def _known(self, uid: str, instances: int | None) -> bool:
        current = self.registry.find_study(uid)
        if current is None or instances is None:
            return False
        held = {"reference": self.source.endpoint} in current[0].get("endpoint", [])
        # One that is only registered was announced: its instances may be described by now.
        told = current[0].get("status") != "registered"
        same = held and told and current[0].get("numberOfInstances") == instances
        if same:
            self.report.unchanged.append(uid)
        return same

    def _instances_or_word(self, archive: Qido, uid: str, stated: Reader) -> list[Dataset]:
        """The instances of a study; of one whose instances the archive does not describe, what it was listed as."""
        if found := archive.datasets(uid):
            return found
        announced = mapping.announce(stated, self.source)
        self.report.studies += 1
        sync.apply(announced, self.source, self.registry, self.report)
        return found

    def _study(self, name: str, give: Callable[[], Sequence[Dataset | None] | None], *, again: bool = False) -> None:
        """Take in one study, all that the archive has of it. One that it does not give is left for later, and holds up
        no other; an archive that gives many in a row not is not read on. `again`: it was not given before."""
        self.held.check()
        try:
            found = give()
        except Unreadable as error:
            self.refused += not again
            if self.refused > REFUSED_MAX:
                raise
            self.pending[name] = None
            self.report.fail(self.configured.name, f"a study could not be read and is asked for again: {error}")
            return
        self.refused = 0
        self.pending.pop(name, None)
        if found:
            self._whole(found)

    def _left(self) -> str:
        return " ".join(self.pending)

    def _whole(self, datasets: Iterable[Dataset | None]) -> None:
        batch = sync.Batch(self.source, self.report)
        for one in datasets:
            name = self.configured.name
            batch.take(Read(name, one) if one is not None else Skipped(name, "is no instance as archives tell of them"))
        for study in batch.assembled():
            sync.apply(study, self.source, self.registry, self.report, whole=True)
        for rejection in batch.rejections:
            sync.reject(rejection, self.source, self.registry, self.report)

    def _withdraw(self, listed: set[str], gone: Callable[[str], bool]) -> None:
        known = list(self.registry.studies_of(self.source.endpoint))
        missing = [uid for uid in known if uid not in listed and gone(uid)]
        if len(missing) > FEW and len(missing) > SHARE_MAX * len(known) and not self.force:
            raise Unavailable(
                f"{len(missing)} of {len(known)} studies are gone from the archive at once; nothing was withdrawn,"
                " expected a person to look and to repeat it with --force"
            )
        for uid in missing:
            sync.withdraw(uid, self.source, self.registry, self.report)
