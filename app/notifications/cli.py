"""`flask worker` and `flask subscription …`: delivery as a process, and how it stands."""

from __future__ import annotations

import json
import signal
from typing import Any

import click
from flask import current_app
from flask.cli import AppGroup, with_appcontext

from app.fhir.temporal import format_instant
from app.interactions import Services
from app.interactions.subscribing import signing_key
from app.interactions.subscription_health import Health, health
from app.notifications.worker import Worker
from app.storage import subscriptions


@click.command("worker")
@click.option("--threads", type=click.IntRange(1, 64), default=4, help="How many deliver at once.")
@with_appcontext
def worker(threads: int) -> None:
    """Deliver notifications and do what is due by time, until stopped. Any number may run."""
    running = Worker(_services(), threads)
    for wanted in (signal.SIGINT, signal.SIGTERM):
        signal.signal(wanted, lambda *_: running.stopping.set())
    running.run()


subscription = AppGroup("subscription", help="Subscriptions: how each stands, and what could not be delivered.")


@subscription.command("list")
@click.option("--json", "as_json", is_flag=True)
def listed(as_json: bool) -> None:
    """State, lag, failures and last problem of each subscription."""
    services = _services()
    with services.store.begin(reads=True) as tx:
        found = health(services, tx)
    if as_json:
        click.echo(json.dumps([one.as_json() for one in found], indent=2))
        return
    for one in found:
        click.echo(_line(one))
    if not found:
        click.echo("no subscriptions")


@subscription.command("replay")
@click.argument("id")
@click.option("--json", "as_json", is_flag=True)
def replay(id: str, as_json: bool) -> None:
    """Queue again what could not be delivered to the subscription ID, after a new handshake."""
    services = _services()

    def work(tx: Any) -> int:
        standing = subscriptions.find(tx, id)
        if standing is None:
            raise click.ClickException("no such subscription; expected an id that `subscription list` shows")
        queued = subscriptions.replay(tx, standing.rid)
        subscriptions.bump(tx)
        return queued

    queued = services.store.retry(work)
    click.echo(json.dumps({"queued": queued}) if as_json else f"{queued} events are queued again")


@subscription.command("key")
@click.argument("id")
def key(id: str) -> None:
    """The key, in hex, under which what is sent to the subscription ID is signed."""
    services = _services()
    with services.store.begin(reads=True) as tx:
        if subscriptions.find(tx, id) is None:
            raise click.ClickException("no such subscription; expected an id that `subscription list` shows")
    click.echo(signing_key(services, f"Subscription/{id}").hex())


def _line(one: Health) -> str:
    parts = [f"{one.id}  {one.state}  {one.organisation}  {one.about}", f"sent {one.sent}, waiting {one.pending}"]
    parts += [f"lag {one.lag_seconds:.0f} s"] if one.pending else []
    parts += [f"dead {one.dead}"] if one.dead else []
    parts += [f"failed {one.attempts} times: {one.problem}"] if one.problem else []
    parts += [f"last sent {format_instant(one.spoke)}"] if one.sent else []
    return "; ".join(parts)


def _services() -> Services:
    found: Services = current_app.extensions["services"]
    return found
