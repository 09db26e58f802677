"""`ingest` and `harvest`: see `--help`."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
from flask import current_app
from flask.cli import with_appcontext
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from app import observability
from app.fhir.temporal import format_instant
from app.ingest import archive as archives
from app.ingest import configured, files, sync
from app.ingest import harvest as harvesting
from app.ingest.files import Read, Skipped
from app.ingest.report import Report
from app.interactions import Services, source_health

PAUSE = 10.0  # seconds between two rounds


@click.command("ingest")
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--archive", "endpoint", required=True, metavar="ENDPOINT", help="id of the archive's Endpoint")
@click.option("--dry-run", is_flag=True, help="read and match, and write nothing")
@click.option("--patient-system", help="identifier system of the PatientIDs in the files")
@click.option("--accession-system", help="identifier system of the accession numbers in the files")
@click.option("--zone", help="zone of times that state no offset; Europe/London where nothing is said")
@click.option("--json", "as_json", is_flag=True, help="the report as JSON")
@with_appcontext
def ingest(
    paths: tuple[Path, ...],
    endpoint: str,
    dry_run: bool,
    patient_system: str | None,
    accession_system: str | None,
    zone: str | None,
    as_json: bool,
) -> None:
    """Register the studies in DICOM files, folders, DICOMDIRs and zips, as held by the archive of ENDPOINT.

    Studies are attached to known patients alone; those that fit nobody, or not quite, wait for review. A second run
    with the same files changes nothing.
    """
    services = _services()
    try:
        named = [one for one in configured.load(services.settings.sources_file) if one.endpoint == _reference(endpoint)]
        found = archives.archive(services, endpoint, named[0] if named else None)
    except (archives.Unknown, configured.Wrong) as error:
        raise click.ClickException(str(error)) from None
    source = replace(
        found.source,
        patient_system=patient_system or found.source.patient_system,
        accession_system=accession_system or found.source.accession_system,
        zone=zone or found.source.zone,
    )
    with _progress(list(paths), shown=not as_json) as read:
        report = sync.ingest(read, source, found.registry, dry_run=dry_run)
    _print(report, as_json)
    if not report.ok:
        sys.exit(1)


@click.command("harvest")
@click.option("--source", "name", help="one source of the sources file; all where none is named")
@click.option("--once", is_flag=True, help="one round, then stop")
@click.option(
    "--reconcile", is_flag=True, help="compare everything once: take in what was missed, withdraw what is gone"
)
@click.option("--force", is_flag=True, help="withdraw even where most of an archive is gone at once")
@click.option("--status", is_flag=True, help="say how each source stands, and read nothing")
@click.option("--json", "as_json", is_flag=True, help="reports as JSON, one to a line")
@with_appcontext
def harvest(name: str | None, once: bool, reconcile: bool, force: bool, status: bool, as_json: bool) -> None:
    """Read the configured archives (REGISTRY_SOURCES_FILE): Orthanc's change feed, QIDO-RS windows.

    Goes on until it is stopped, unless --once or --reconcile is given. Each source is read by itself: one that hangs or
    fails holds up no other. With --status it ends with an error where a source is silent or was never read.
    """
    services = _services()
    if status:
        _status(services, name, as_json)
        return
    try:
        named = [one for one in configured.load(services.settings.sources_file) if name in (None, one.name)]
        if not named:
            raise click.ClickException(
                "no source of this name is configured; expected one of the file that REGISTRY_SOURCES_FILE names"
            )
        found = [(one, archives.archive(services, one.endpoint, one)) for one in named]
    except (archives.Unknown, configured.Wrong) as error:
        raise click.ClickException(str(error)) from None
    single = once or reconcile
    talking, stopping = threading.Lock(), threading.Event()

    def rounds(one: configured.Configured, archive: archives.Archive) -> bool:
        while True:
            compare = reconcile or (False if once else None)
            try:
                report = harvesting.run(
                    one, archive.source, archive.registry, services.store, reconcile=compare, force=force
                )
            except Exception as error:  # the database is away, or a fault of our own: the others are read on
                report = Report(one.endpoint)
                report.fail(one.name, f"the round was broken off ({type(error).__name__}); it is done again")
                place = observability.place_of(error)
                observability.event("harvest_failed", source=one.name, error=type(error).__name__, place=place)
            if single or not report.ok or report.studies or report.withdrawn:
                with talking:
                    _print(report, as_json)
            if single or stopping.wait(PAUSE):
                return report.ok

    with ThreadPoolExecutor(len(found)) as each:
        try:
            good = list(each.map(lambda one: rounds(*one), found))
        finally:
            stopping.set()  # a round that has begun is finished
    sys.exit(0 if all(good) else 1)


def _status(services: Services, name: str | None, as_json: bool) -> None:
    with services.store.begin(reads=True) as tx:
        found = [one for one in source_health.health(services, tx) if name in (None, one.name)]
    if name is not None and not found:
        raise click.ClickException("this source was never harvested; expected the name of one that was")
    if as_json:
        click.echo(json.dumps([one.as_json() for one in found]))
    else:
        for one in found:
            success = format_instant(one.last_success)[:19] if one.last_success else "never"
            click.echo(
                f"{one.name}: {one.state}, {one.said}\n  {one.kind} {one.endpoint} of {one.organisation or 'nobody'}"
                f"  last read {success}  lag {one.lag}  failures {one.failures}  held {one.held}"
                + (f"\n  {one.problem}" if one.problem else "")
            )
    sys.exit(1 if any(one.state in ("silent", "never") for one in found) else 0)


def _services() -> Services:
    services: Services = current_app.extensions["services"]
    return services


def _reference(endpoint: str) -> str:
    return f"Endpoint/{endpoint.removeprefix('Endpoint/')}"


def _print(report: Report, as_json: bool) -> None:
    click.echo(json.dumps(report.as_json()) if as_json else report.as_text())


@contextmanager
def _progress(paths: list[Path], *, shown: bool) -> Iterator[Iterator[Read | Skipped]]:
    """The files, with a bar on the terminal for what takes long."""
    console = Console(stderr=True)
    if not (shown and console.is_terminal):
        yield files.read_all(paths)
        return
    columns: Any = (TextColumn("reading files"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("files", total=files.count(paths))

        def read() -> Iterator[Read | Skipped]:
            for one in files.read_all(paths):
                bar.advance(task)
                yield one

        yield read()
