"""`flask worker` and `flask subscription …`: delivery as a process, and how it stands."""

from __future__ import annotations

import signal
from typing import Any

import click
from flask import current_app
from flask.cli import AppGroup, with_appcontext

from app import observability
from app.fhir.temporal import format_instant
from app.interactions import Services
from app.interactions.subscribing import signing_key
from app.interactions.subscription_health import Health, health
from app.notifications.worker import Worker
from app.printing import json_option, say
from app.storage import subscriptions


@click.command("worker")
@click.option("--threads", type=click.IntRange(1, 64), default=4, help="How many deliver at once.")
@json_option
@with_appcontext
def worker(threads: int, as_json: bool) -> None:
    """Deliver notifications and do what is due by time, until stopped. Any number may run."""
    if as_json:
        observability.configure(_services().settings.log_level, "json")
    running = Worker(_services(), threads)
    for wanted in (signal.SIGINT, signal.SIGTERM):
        signal.signal(wanted, lambda *_: running.stopping.set())
    running.run()


subscription = AppGroup("subscription", help="Subscriptions: how each stands, and what could not be delivered.")


@subscription.command("list")
@json_option
def listed(as_json: bool) -> None:
    """State, lag, failures and last problem of each subscription."""
    services = _services()
    with services.store.begin(reads=True) as tx:
        found = health(services, tx)
    words = "\n".join(_line(one) for one in found) or "no subscriptions"
    say(as_json, [one.as_json() for one in found], words)


@subscription.command("replay")
@click.argument("id")
@json_option
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
    say(as_json, {"queued": queued}, f"{queued} events are queued again")


@subscription.command("key")
@click.argument("id")
@json_option
def key(id: str, as_json: bool) -> None:
    """The key, in hex, under which what is sent to the subscription ID is signed."""
    services = _services()
    with services.store.begin(reads=True) as tx:
        if subscriptions.find(tx, id) is None:
            raise click.ClickException("no such subscription; expected an id that `subscription list` shows")
    hexadecimal = signing_key(services, f"Subscription/{id}").hex()
    say(as_json, {"key": hexadecimal}, hexadecimal)


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
