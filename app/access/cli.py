"""`flask explain` and `flask policy …`: the decision told rule by rule, and the region's choices."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click
from flask import current_app
from flask.cli import AppGroup, with_appcontext

from app.access import information, simulating
from app.access.duties import review_minors
from app.access.enforcement import Enforcement
from app.access.explain import Explained
from app.access.explain import explain as explained
from app.access.subject import Subject
from app.fhir.identifier import ODS_ORGANISATION
from app.fhir.temporal import interval
from app.policy.model import ROLES
from app.policy.organisation import key_from
from app.policy.switches import SwitchError, load
from app.printing import json_option, say
from app.storage.engine import Store

MARKS = {"permits": "✓", "refuses": "✗", "redacts": "✓", "passes": "·", "depends on the study": "?", "not reached": " "}


@click.command("explain")
@click.option("--patient", required=True, metavar="NHSNUMBER")
@click.option("--org", required=True, metavar="ODS", help="The organisation that asks.")
@click.option("--practitioner", metavar="ID", help="The practitioner who asks.")
@click.option("--role", type=click.Choice(ROLES), help="clinician with a practitioner, else system, if not given.")
@click.option("--purpose", default="TREAT", help="Purpose of use; TREAT if not given.")
@click.option("--at", metavar="INSTANT", help="As of this instant; now if not given.")
@click.option("--study", metavar="UID", help="One study only.")
@json_option
@with_appcontext
def explain(
    patient: str,
    org: str,
    practitioner: str | None,
    role: str | None,
    purpose: str,
    at: str | None,
    study: str | None,
    as_json: bool,
) -> None:
    """Say, study by study, what each rule makes of a request, and why."""
    store, enforcement = _parts()
    try:
        instant = interval(at, store.zone)[0] if at else store.clock()
    except ValueError as error:
        raise click.UsageError("--at is not a date or time; expected one like 2026-03-10T10:00:00Z") from error
    subject = Subject(
        client_id="explain",
        kind="backend",
        organisation=key_from(ODS_ORGANISATION, org),
        role=role or ("clinician" if practitioner else "system"),
        purpose=purpose or None,
        practitioner=f"Practitioner/{practitioner.removeprefix('Practitioner/')}" if practitioner else None,
    )
    with store.begin(reads=True) as tx:
        found = explained(tx, enforcement, subject, patient, instant, study)
    say(as_json, [one.as_json() for one in found], "\n\n".join(_told(one) for one in found))


def _told(one: Explained) -> str:
    lines = [f"{one.study or 'no study on file'}: {one.effect} ({', '.join(one.reasons)})"]
    for step in one.steps:
        why = f" {', '.join(step.reasons)}: {step.because}" if step.reasons else ""
        name = step.rule.replace("_", " ")
        lines.append(f"  {MARKS[step.verdict]} {step.number:2} {step.clause:26} {name}: {step.verdict}{why}")
        lines += [f"        {note}" for note in step.notes]
    if one.basis:
        lines.append(f"  rests on {', '.join(one.basis)}")
    if one.expires:
        lines.append(f"  good until {one.expires}")
    return "\n".join(lines)


policy = AppGroup("policy", help="The region's choices, P1 to P26.")


@policy.command("show")
@json_option
def show(as_json: bool) -> None:
    """The choices in force, with their version and hash."""
    _, enforcement = _parts()
    said = enforcement.switches.as_json()
    if as_json:
        click.echo(json.dumps(said))
        return
    click.echo(f"version {said['version']}, hash {said['hash']}")
    for name, choice in said["choices"].items():
        click.echo(f"  {choice['id']:4} {name} = {json.dumps(choice['value'])}\n       {choice['means']}")


@policy.command("simulate")
@click.option(
    "--file", "file", required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path), metavar="NEW.toml"
)
@click.option("--details", is_flag=True, help="Each study, too: organisation, patient's pseudonym, before and after.")
@json_option
def simulated(file: Path, details: bool, as_json: bool) -> None:
    """Say whose access would open or close under another file, by organisation, over everyone who is stored."""
    store, enforcement = _parts()
    try:
        new = load(file.read_text())
    except (SwitchError, UnicodeDecodeError) as error:
        raise click.ClickException(str(error)) from error
    with store.begin(reads=True) as tx:
        total = information.count_persons(tx)
    with click.progressbar(length=total, label="persons", file=sys.stderr, hidden=not sys.stderr.isatty()) as bar:
        report = simulating.run(store, enforcement, new, bar.update)
    if as_json:
        said = {
            "from": enforcement.switches.hash,
            "to": new.hash,
            "persons": report.persons,
            "summary": report.summary(),
        }
        click.echo(json.dumps(said | {"changes": [one.as_json() for one in report.found]}))
        return
    click.echo(
        f"{report.persons} persons, {report.decisions} decisions: from {enforcement.switches.version} to {new.version}"
    )
    for row in report.summary():
        told = ", ".join(f"{name.replace('_', ' ')} {row[name]}" for name in simulating.NAMES if row[name])
        click.echo(f"  {row['organisation']} ({row['role']}): {told}")
    for (before, after), count in report.reasons.most_common():
        click.echo(f"  {count} because {before} becomes {after}")
    for one in report.found if details else ():
        change, who = one.change, f"{one.organisation} {one.practitioner or one.role}"
        click.echo(f"    {who}: patient {one.patient}, {change.study}: {change.before} to {change.after}")
    if not report.found:
        click.echo("  nothing would open or close")


@policy.command("review")
@json_option
def review(as_json: bool) -> None:
    """Open the reviews that are due of choices made for children who come of age (P20). To be run once a day."""
    store, enforcement = _parts()
    made = store.retry(lambda tx: review_minors(tx, enforcement.switches, enforcement.discharge))
    say(as_json, {"opened": made}, f"{made} review{'' if made == 1 else 's'} opened")


def _parts() -> tuple[Store, Enforcement]:
    services = current_app.extensions["services"]
    return services.store, services.enforcement
