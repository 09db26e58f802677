"""`identity`: the studies that wait for somebody to say whose they are. See `--help`."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from typing import TypeVar

import click
from flask import current_app
from flask.cli import with_appcontext

from app.fhir.outcome import Fault
from app.interactions import Asked, Services
from app.pathways import identity_review
from app.pathways.identity_review import REGION, Hold

T = TypeVar("T")


@click.group("identity")
def identity() -> None:
    """Studies that could not be attached to a patient: who waits, and whose they are."""


@identity.command("list")
@click.option("--json", "as_json", is_flag=True, help="all that is known, as JSON")
@with_appcontext
def list_(as_json: bool) -> None:
    """What waits, the longest first, with what the archive says and who it may be. Looking is recorded."""
    found = _asked(lambda services: identity_review.holds(services, Asked(REGION)))
    if as_json:
        click.echo(json.dumps([asdict(one) for one in found]))
        return
    click.echo("\n".join(map(_told, found)) or "nothing waits")


@identity.command("resolve")
@click.argument("id")
@click.option("--patient", required=True, help="id of the Patient whose study it is")
@click.option("--json", "as_json", is_flag=True, help="the study UIDs as JSON")
@with_appcontext
def resolve(id: str, patient: str, as_json: bool) -> None:
    """Attach the study of the hold ID to a patient, and others of the archive that wait with the same words."""
    found = _asked(lambda services: identity_review.resolve(services, Asked(REGION), id, patient))
    said = f"{len(found)} {'study was' if len(found) == 1 else 'studies were'} attached"
    click.echo(json.dumps({"attached": found}) if as_json else said)


@identity.command("dismiss")
@click.argument("id")
@click.option("--reason", required=True, help="why it is attached to nobody")
@click.option("--json", "as_json", is_flag=True, help="the answer as JSON")
@with_appcontext
def dismiss(id: str, reason: str, as_json: bool) -> None:
    """Attach the study of the hold ID to nobody, until its archive says something else of its patient."""
    _asked(lambda services: identity_review.dismiss(services, Asked(REGION), id, reason))
    click.echo(json.dumps({"dismissed": id}) if as_json else "the study waits no longer")


def _asked(work: Callable[[Services], T]) -> T:
    try:
        return work(current_app.extensions["services"])
    except Fault as fault:
        raise click.ClickException(fault.text) from None


def _told(one: Hold) -> str:
    said = one.said
    numbers = ", ".join(value for _, value in said.numbers) or "no number"
    lines = [
        f"{one.id}  {one.code}: {one.why}",
        f"  {one.endpoint} of {one.organisation}, study {one.study_uid}",
        f"  stated: {said.name or 'no name'}, born {said.born or '?'}, {said.sex or 'sex ?'}, {numbers}",
    ]
    for found in one.candidates:
        verdict = f"agrees: {', '.join(found.agrees) or 'nothing'}; differs: {', '.join(found.differs) or 'nothing'}"
        lines.append(f"  {found.patient}: {found.name}, born {found.born or '?'}, {found.number or '?'} ({verdict})")
    return "\n".join(lines)
