"""`import` and `export`: see `--help`."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
from flask import current_app
from flask.cli import with_appcontext
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from app.access.subject import Subject
from app.interactions import Asked, Services
from app.interactions.exporting import EXPORTED
from app.transfer.exporting import export
from app.transfer.importing import files, imported
from app.transfer.spreading import WORTH_IT

OPERATOR = Subject("registry-operator", "steward", None, purpose="HOPERAT", scopes=("system/*.cruds",))


@click.command("import")
@click.argument("paths", nargs=-1, required=True, metavar="PATH…", type=click.Path(exists=True, path_type=Path))
@click.option(
    "--processes", type=click.IntRange(1, 64), help="that load at once; as many as cores if not given, one on SQLite"
)
@click.option("--json", "as_json", is_flag=True, help="the report as JSON")
@with_appcontext
def import_(paths: tuple[Path, ...], processes: int | None, as_json: bool) -> None:
    """Store the resources of NDJSON files, or of all *.ndjson in folders. Ids are kept; a second run changes nothing.

    Lines that cannot be stored are reported with file and line, and stop no other. An import that broke off goes on
    where it was when it is started again.
    """
    services: Services = current_app.extensions["services"]
    found = files(paths)
    size = sum(path.stat().st_size for path in found)
    if processes is None:
        worth_it = size >= WORTH_IT and services.store.dialect == "postgresql"
        processes = os.cpu_count() or 1 if worth_it else 1
    anew = current_app.extensions["anew"]
    with _bytes(size, shown=not as_json) as told:
        report = imported(services, Asked(OPERATOR, request_id="import"), found, told, processes=processes, anew=anew)
    counts = {name: getattr(report, name) for name in ("created", "updated", "unchanged", "skipped")}
    stored = report.created + report.updated + report.unchanged
    rate = round(stored / report.seconds) if report.seconds else 0
    if as_json:
        refused = [
            {"file": str(one.file), "line": one.line, "issue": [issue.as_fhir() for issue in one.issues]}
            for one in report.refused
        ]
        said = {"files": len(found)} | counts | {"refused": refused, "seconds": round(report.seconds, 3), "rate": rate}
        click.echo(json.dumps(said))
    else:
        told_counts = ", ".join(f"{number} {name}" for name, number in counts.items())
        click.echo(f"{len(found)} files: {told_counts}, {len(report.refused)} refused; {rate} resources/s")
        for one in report.refused:
            click.echo(str(one), err=True)
    if report.refused:
        sys.exit(1)


@click.command("export")
@click.option("--out", required=True, metavar="DIR", type=click.Path(file_okay=False, path_type=Path))
@click.option("--type", "types", multiple=True, type=click.Choice(EXPORTED), help="only this type; may be repeated")
@click.option("--json", "as_json", is_flag=True, help="the report as JSON")
@with_appcontext
def export_(out: Path, types: tuple[str, ...], as_json: bool) -> None:
    """Write all resources to DIR as NDJSON, a file for each type. Every page is recorded as a disclosure to an operator.

    An export that broke off goes on where it was when it is started again. What changes meanwhile is written again, the
    newer version last.
    """
    services: Services = current_app.extensions["services"]
    with _count(shown=not as_json) as told:
        report = export(services, Asked(OPERATOR, request_id="export"), out, types or EXPORTED, told)
    if as_json:
        click.echo(json.dumps({"folder": str(out), "resources": report.resources}))
    else:
        click.echo(f"{sum(report.resources.values())} resources of {len(report.resources)} types in {out}")


@contextmanager
def _bytes(total: int, *, shown: bool) -> Iterator[Callable[[int], None]]:
    console = Console(stderr=True)
    if not (shown and console.is_terminal):
        yield lambda _bytes: None
        return
    columns: Any = (TextColumn("importing"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("bytes", total=total)
        yield lambda number: bar.advance(task, number)


@contextmanager
def _count(*, shown: bool) -> Iterator[Callable[[str, int], None]]:
    console = Console(stderr=True)
    if not (shown and console.is_terminal):
        yield lambda _type, _count: None
        return
    with Progress(TextColumn("exporting {task.description}: {task.completed}"), console=console, transient=True) as bar:
        tasks: dict[str, Any] = {}

        def told(type_name: str, number: int) -> None:
            if type_name not in tasks:
                tasks[type_name] = bar.add_task(type_name, total=None)
            bar.advance(tasks[type_name], number)

        yield told
