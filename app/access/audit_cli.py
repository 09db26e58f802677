"""`flask audit …`: is it whole, does it give the same answers again, and the whole of it to take away."""

from __future__ import annotations

import json
from pathlib import Path
from typing import BinaryIO

import click
from flask import current_app
from flask.cli import AppGroup

from app.access import audit as records
from app.access import exporting, verifying
from app.access import replay as again
from app.access.checkpoints import KEY_FILE, Checkpoints, Key
from app.access.linker import Linker
from app.access.verifying import Report
from app.config import Settings
from app.fhir.temporal import interval
from app.printing import json_option, say
from app.storage import chain
from app.storage.audit import ENVELOPE
from app.storage.engine import Store

audit = AppGroup("audit", help="The audit: check it, replay it, take it away.")


def _store() -> tuple[Store, Settings]:
    services = current_app.extensions["services"]
    return services.store, services.settings


def _linker() -> Linker:
    store, settings = _store()
    return Linker.of(store, settings, current_app.extensions["services"].enforcement.switches)


@audit.command("verify")
@click.option("--file", "export", type=click.File("rb"), help="An export to verify; the database if not given.")
@click.option("--key", "trusted", type=click.File("rb"), help="The public key to trust (see `audit key`).")
@json_option
def verify(export: BinaryIO | None, trusted: BinaryIO | None, as_json: bool) -> None:
    """Check chain, columns and signed checkpoints; name the first bad row."""
    key = _trusted(trusted)
    report = _database(key) if export is None else _export(export, key)
    if as_json:
        click.echo(json.dumps(report.as_json()))
    else:
        waiting = f", {report.unlinked} not linked yet" if report.unlinked else ""
        click.echo(f"{report.rows} rows and {report.checkpoints} checkpoints checked{waiting}; key {report.key}")
        click.echo("\n".join(report.faults) if report.faults else "all is as it was written")
    if report.faults:
        raise SystemExit(1)


def _trusted(given: BinaryIO | None) -> Key | None:
    _, settings = _store()
    try:
        if given is not None:
            return Key.of_json(json.load(given))
    except ValueError as error:
        raise click.UsageError("--key is not a public key; expected what `audit key` prints") from error
    return Key.of_directory(settings.keys_dir) if (Path(settings.keys_dir) / KEY_FILE).exists() else None


def _database(key: Key | None) -> Report:
    store, settings = _store()
    key = key or Key.of_directory(settings.keys_dir)
    statements = Checkpoints(settings.checkpoints_dir, key).statements()
    with store.begin(reads=True) as tx:
        heads = chain.heads(tx)
        links = chain.links(tx, ENVELOPE, heads[-1] if heads else None)
        report = verifying.verify(links, statements, key, records.columns)
        strange, report.unlinked = chain.unlinked(tx)
    for seq, id in strange:
        report.fault(f"seq {seq} (id {id}): the row is in no day's chain; it did not come by the registry")
    return report


def _export(file: BinaryIO, trusted: Key | None) -> Report:
    """The links are read twice: the statements stand behind them."""
    try:
        first = exporting.Export(file)
        for _ in first.links():
            pass
        if first.key is None:
            raise ValueError("the first line names no key; expected what `audit export` writes")
        file.seek(0)
        key = trusted or first.key
        report = verifying.verify(exporting.Export(file).links(), first.statements, key, exact=True)
    except ValueError as error:
        raise click.ClickException(str(error)) from error
    if first.key.thumbprint != key.thumbprint:
        report.fault(f"the export names the key {first.key.thumbprint}; expected {key.thumbprint}")
    return report


@audit.command("replay")
@click.option("--since", metavar="INSTANT", help="Decisions from this instant on; all if not given.")
@json_option
def replay(since: str | None, as_json: bool) -> None:
    """Make every recorded decision again from what was on file then; name those that come out differently."""
    store, _ = _store()
    try:
        instant = interval(since, store.zone)[0] if since else 0
    except ValueError as error:
        raise click.UsageError("--since is not a date or time; expected one like 2026-03-10T10:00:00Z") from error
    report = again.replay(store, current_app.extensions["services"].enforcement, instant)
    if as_json:
        click.echo(json.dumps(report.as_json()))
    else:
        click.echo(
            f"{report.decisions} decisions made again, {len(report.differences)} differ;"
            f" {report.permissions} rest on the table of permissions alone"
        )
        for one in report.differences:
            click.echo(one)
    if report.differences:
        raise SystemExit(1)


@audit.command("export")
@click.option("--out", type=click.File("wb"), default="-", help="The file to write; standard output if not given.")
@json_option
def export(out: BinaryIO, as_json: bool) -> None:
    """Write every record with its place in the chain and the signed checkpoints, as NDJSON. This is recorded too."""
    store, _ = _store()
    store.retry(lambda tx: records.noted(tx, "operation", status=200, client="command line", detail="audit export"))
    written = sum(bool(out.write(line)) for line in exporting.lines(store, _linker()))
    if out.name != "<stdout>":  # the lines are JSON as they are
        say(as_json, {"lines": written, "file": out.name}, f"{written} lines written to {out.name}")


@audit.command("link")
@json_option
def link(as_json: bool) -> None:
    """Link what is not linked yet and renew the signed checkpoints. A running server does so by itself."""
    linked = _linker().run()
    say(as_json, {"linked": linked}, f"{linked} rows linked")


@audit.command("key")
@json_option
def key(as_json: bool) -> None:
    """Print the public key that signs the checkpoints, and its thumbprint (RFC 7638)."""
    _, settings = _store()
    found = Key.of_directory(settings.keys_dir)
    told = found.public | {"kid": found.thumbprint}
    say(as_json, told, json.dumps(told))  # a JWK is JSON for people too
