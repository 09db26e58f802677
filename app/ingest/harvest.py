"""One round of harvesting one archive: read on from where the last round ended, or compare everything.

What was read is written before the position moves on, so a round that is cut short is done again, not lost. A failure
is kept with the source's state and leaves the other sources alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

from pydicom.dataset import Dataset

from app.ingest import http, mapping, sync
from app.ingest.configured import Configured
from app.ingest.files import Read
from app.ingest.http import Unavailable
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


def run(
    configured: Configured,
    source: Source,
    registry: Registry,
    store: Store,
    *,
    reconcile: bool = False,
    force: bool = False,
    seen: Callable[[str], None] = lambda _uid: None,
) -> Report:
    """One round. The state is saved whatever happens; the report says what did."""
    report = Report(source.endpoint)
    began = State(configured.name, configured.kind, source.endpoint)
    with store.begin() as tx:
        state = sources.load(tx, configured.name) or began
        at = tx.at
    if state.endpoint != source.endpoint or state.kind != configured.kind:
        state = began
    connection = http.session(configured.timeout, configured.credentials)

    def save(new: State) -> None:
        nonlocal state
        state = new
        store.retry(lambda tx: sources.save(tx, new))

    round_ = _Round(configured, source, registry, report, save, seen, force)
    try:
        if configured.kind == "orthanc":
            archive = Orthanc(configured.url, connection)
            round_.orthanc_whole(archive, state, at) if reconcile else round_.orthanc(archive, state)
        else:
            qido = Qido(configured.url, connection)
            today = datetime.fromtimestamp(at / 1_000_000, UTC).date() + timedelta(days=1)
            round_.qido_whole(qido, state, at) if reconcile else round_.qido(qido, state, today)
        save(replace(state, failures=0, problem="", attempted=at, succeeded=at))
    except Unavailable as error:
        report.fail(configured.name, str(error))
        save(replace(state, failures=state.failures + 1, problem=str(error), attempted=at))
    finally:
        connection.close()
    return report


class _Round:
    def __init__(
        self,
        configured: Configured,
        source: Source,
        registry: Registry,
        report: Report,
        save: Callable[[State], None],
        seen: Callable[[str], None],
        force: bool,
    ) -> None:
        self.configured = configured
        self.source = source
        self.registry = registry
        self.report = report
        self.save = save
        self.seen = seen
        self.force = force

    def orthanc(self, archive: Orthanc, state: State) -> None:
        """Read the change feed to its end."""
        newest = archive.newest()
        if newest < state.position:
            state = replace(state, position=0)  # another database stands there now
        while True:
            page = archive.changes(state.position)
            for id in page.studies:
                found = archive.datasets(id)
                if found:
                    self._whole(found)
            state = replace(state, position=max(page.last, state.position), lag=max(newest - page.last, 0))
            self.save(state)
            if page.done:
                return

    def orthanc_whole(self, archive: Orthanc, state: State, at: int) -> None:
        """Compare all: take in what was missed, withdraw what is gone."""
        position = archive.newest()
        listed: set[str] = set()
        for id, uid in archive.studies():
            listed.add(uid)
            if found := archive.datasets(id):
                self._whole(found)
        self._withdraw(listed, archive.gone)
        self.save(replace(state, position=position, lag=0, reconciled=at))

    def qido(self, archive: Qido, state: State, today: date) -> None:
        """Read the last days again, and on the first round everything before them."""
        first = date.fromisoformat(self.configured.from_day)
        recent = max(first, today - timedelta(days=self.configured.days))
        self._days(archive, recent, today)
        if not state.day:
            self._days(archive, first, recent - timedelta(days=1))
        elif date.fromisoformat(state.day) < recent:
            self._days(archive, date.fromisoformat(state.day), recent - timedelta(days=1))
        self.save(replace(state, day=today.isoformat()))

    def qido_whole(self, archive: Qido, state: State, at: int) -> None:
        """Compare all, studies without a date too: take in what was missed, withdraw what is gone."""
        self._withdraw(self._listed(archive, None, None), archive.gone)
        self.save(replace(state, reconciled=at))

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
                self._fetch(archive, uid, reader)
        return listed

    def _known(self, uid: str, instances: int | None) -> bool:
        current = self.registry.find_study(uid)
        if current is None or instances is None:
            return False
        held = {"reference": self.source.endpoint} in current[0].get("endpoint", [])
        same = held and current[0].get("numberOfInstances") == instances
        if same:
            self.report.unchanged.append(uid)
        return same

    def _fetch(self, archive: Qido, uid: str, stated: Reader) -> None:
        found = archive.datasets(uid)
        if found:
            self._whole(found)
            return
        announced = mapping.announce(stated, self.source)
        self.report.studies += 1
        sync.apply(announced, self.source, self.registry, self.report)

    def _whole(self, datasets: Iterable[Dataset]) -> None:
        """Everything that the archive has of one study."""
        batch = sync.Batch(self.source, self.report)
        for one in datasets:
            batch.take(Read(self.configured.name, one))
        for study in batch.assembled():
            self.seen(study.uid)
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


__all__ = ["run"]
