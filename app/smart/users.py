"""`flask user …` and `flask keys …`: people who log in with a password here, and the keys that sign."""

from __future__ import annotations

import secrets

import click
from flask import current_app
from flask.cli import AppGroup
from werkzeug.security import generate_password_hash

from app.fhir.identifier import ODS_ORGANISATION
from app.interactions import Services
from app.policy.model import ROLES
from app.policy.organisation import key_from
from app.printing import json_option, say, say_fields, say_rows
from app.smart.tokens import Tokens
from app.storage import people
from app.storage.people import User

SHORTEST = 12
PEOPLE = tuple(role for role in ROLES if role != "system")

user = AppGroup("user", help="People who log in with a password here, where no trusted issuer does it.")
keys = AppGroup("keys", help="The keys that sign tokens.")


def _services() -> Services:
    return current_app.extensions["services"]  # type: ignore[no-any-return]


@user.command("add")
@click.argument("id")
@click.option("--role", type=click.Choice(PEOPLE), required=True)
@click.option("--org", help="ODS code of the organisation that the person works for; none for a patient.")
@click.option("--practitioner", help="Id of the Practitioner that the person is.")
@click.option("--patient", help="Id of the Patient that the person is; for the role patient.")
@click.option("--name", help="What the pages call the person.")
@click.option("--ask", is_flag=True, help="Ask for a password instead of making one.")
@json_option
def add(
    id: str,
    role: str,
    org: str | None,
    practitioner: str | None,
    patient: str | None,
    name: str | None,
    ask: bool,
    as_json: bool,
) -> None:
    """Register a person, or give one a new password. Prints the password once, unless it was asked for."""
    if role == "patient":
        if patient is None or org is not None or practitioner is not None:
            raise click.UsageError("a patient is a --patient, and has no --org and no --practitioner")
    elif org is None or practitioner is None or patient is not None:
        raise click.UsageError(f"a person of the role {role} has an --org and a --practitioner, and no --patient")
    key = key_from(ODS_ORGANISATION, org) if org else None
    if org and (key is None or not key.removeprefix("ods:").isalnum()):
        raise click.UsageError("--org is not an ODS code; expected letters and digits such as RXB")
    if not id.isascii() or not id.isprintable() or " " in id or len(id) > 255:
        raise click.UsageError("the id is not usable; expected letters, digits and signs, such as j.smith")
    password = click.prompt("Password", hide_input=True, confirmation_prompt=True) if ask else secrets.token_urlsafe(15)
    if len(password) < SHORTEST:
        raise click.UsageError(f"the password is too short; expected at least {SHORTEST} characters")
    person = User(
        id,
        name or id,
        role,
        key,
        f"Practitioner/{practitioner.removeprefix('Practitioner/')}" if practitioner else None,
        f"Patient/{patient.removeprefix('Patient/')}" if patient else None,
        generate_password_hash(password),
    )
    _services().store.retry(lambda tx: people.add(tx, person))
    said = {"user": id} | ({} if ask else {"password": password})
    say_fields(as_json, said)


@user.command("list")
@json_option
def every(as_json: bool) -> None:
    """All people: id, role, organisation, and whether they are disabled."""
    with _services().store.begin(reads=True) as tx:
        found = people.every(tx)
    rows = [
        {
            "user": one.id,
            "role": one.role,
            "organisation": (one.organisation or "").removeprefix("ods:") or None,
            "practitioner": one.practitioner,
            "patient": one.patient,
            "disabled": one.disabled,
        }
        for one in found
    ]
    say_rows(as_json, rows, lambda row: f"{row['user']}  {row['role']}  {row['organisation'] or '-'}")


@user.command("disable")
@click.argument("id")
@json_option
def disable(id: str, as_json: bool) -> None:
    """End a person's sessions and tokens, from the next request on, and let nobody log in as them."""
    if not _services().store.retry(lambda tx: people.disable(tx, id)):
        raise click.ClickException("nobody has this id; see `flask user list`")
    say(as_json, {"user": id, "disabled": True}, "disabled")


@keys.command("rotate")
@json_option
def rotate(as_json: bool) -> None:
    """Sign with new keys from now on. The ones before stay good for what they signed, older ones go."""
    tokens: Tokens = current_app.extensions["tokens"]
    tokens.keys.rotate()
    say(as_json, {"rotated": True}, "rotated")
