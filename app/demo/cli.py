"""`demo load`: see `--help`."""

from __future__ import annotations

import json

import click
from flask import current_app
from flask.cli import with_appcontext
from rich.console import Console
from rich.progress import Progress

from app.access.subject import Subject
from app.demo import story
from app.demo.load import load
from app.interactions import Services

STEWARD = Subject(story.STEWARD, "steward", "ods:ZQ1", scopes=("system/*.cruds",))


@click.group("demo")
def demo() -> None:
    """The demo region: fictional trusts, clinicians and patients, with studies from real DICOM files."""


@demo.command("load")
@click.option("--patients", default=0, type=click.IntRange(0, 100_000), help="so many more, generated patients")
@click.option("--json", "as_json", is_flag=True, help="what was done as JSON")
@with_appcontext
def load_command(patients: int, as_json: bool) -> None:
    """Load what is not there yet of the demo region. What is there stays as it is."""
    services: Services = current_app.extensions["services"]
    if not services.settings.demo:
        raise click.ClickException("the demo region is for demo mode; expected REGISTRY_MODE=demo")
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=as_json or not console.is_terminal) as bar:
        task = bar.add_task("loading", total=None)
        loaded = load(services, STEWARD, patients, lambda number: bar.advance(task, number))
    if as_json:
        click.echo(json.dumps(loaded.as_json()))
    else:
        click.echo(f"demo region: {loaded.created} resources loaded, {loaded.unchanged} were there already")
