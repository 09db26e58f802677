"""`flask db …`: the schema and its consistency."""

from __future__ import annotations

import click
from flask import current_app
from flask.cli import AppGroup

from app.fhir.outcome import Fault
from app.printing import json_option, say
from app.storage import check, restoring, schema
from app.storage.engine import Store

db = AppGroup("db", help="The database: bring its schema up to date, check what is in it.")


def _store() -> Store:
    return current_app.extensions["services"].store  # type: ignore[no-any-return]


@db.command("upgrade")
@click.option("--partitions", type=int, default=0, help="PostgreSQL: divide by patient, while the database is empty.")
@json_option
def upgrade(partitions: int, as_json: bool) -> None:
    """Apply the migrations that the database has not seen. To be run after a restore, too."""
    store = _store()
    before = schema.current(store)
    try:
        schema.upgrade(store, number=partitions)
    except Fault as fault:
        raise click.ClickException(str(fault)) from fault
    restoring.carry_on(store)
    after = schema.current(store)
    words = f"up to date at {after}" if before == after else f"upgraded from {before or 'nothing'} to {after}"
    say(as_json, {"from": before, "to": after}, words)


@db.command("check")
@json_option
def verify(as_json: bool) -> None:
    """Compare schema, stored bytes, index and policy rows with what they are made from."""
    store = _store()
    found = check.run(store)
    words = [f"{found.resources} resources checked, {len(found.faults)} faults", *found.faults]
    say(as_json, {"resources": found.resources, "faults": found.faults}, "\n".join(words))
    if found.faults:
        raise SystemExit(1)
