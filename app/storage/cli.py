"""`flask db …`: the schema and its consistency."""

from __future__ import annotations

import json

import click
from flask import current_app
from flask.cli import AppGroup

from app.storage import check, schema
from app.storage.engine import Store

db = AppGroup("db", help="The database: bring its schema up to date, check what is in it.")


def _store() -> Store:
    return current_app.extensions["services"].store  # type: ignore[no-any-return]


@db.command("upgrade")
def upgrade() -> None:
    """Apply the migrations that the database has not seen."""
    store = _store()
    before = schema.current(store)
    schema.upgrade(store)
    after = schema.current(store)
    click.echo(f"up to date at {after}" if before == after else f"upgraded from {before or 'nothing'} to {after}")


@db.command("check")
@click.option("--json", "as_json", is_flag=True)
def verify(as_json: bool) -> None:
    """Compare schema, stored bytes, index and policy rows with what they are made from."""
    store = _store()
    found = check.run(store)
    if as_json:
        click.echo(json.dumps({"resources": found.resources, "faults": found.faults}))
    else:
        click.echo(f"{found.resources} resources checked, {len(found.faults)} faults")
        for fault in found.faults:
            click.echo(fault)
    if found.faults:
        raise SystemExit(1)
