"""The last look before anybody is served: are the clients that this database knows safe to serve in this mode? And what
runs behind the requests from then on.

https://owasp.org/Top10/A05_2021-Security_Misconfiguration/ is what it guards against. Commands are not asked, for it
is they that register clients.
"""

from __future__ import annotations

import contextlib
import gc

from flask import Flask

from app import create_proxy
from app.access.linker import Linker
from app.config import Settings, SettingsError
from app.demo import story
from app.interactions import Services
from app.storage import oauth


def refuse_unsafe(app: Flask) -> None:
    """Raise SettingsError where production would serve nobody, or the demo's clients."""
    services: Services = app.extensions["services"]
    if services.settings.demo:
        return
    with services.store.begin(reads=True) as tx:
        known = [client.id for client in oauth.every(tx) if not client.disabled]
    if faults := services.settings.unsafe_to_serve(known, [client.id for client in story.CLIENTS]):
        raise SettingsError(faults)


# Objects that a request makes die with it, without cycles: what collecting them costs is a twentieth of an answer.
YOUNG, MIDDLE, OLD = 50_000, 20, 50


def settle() -> None:
    """Everything that start-up has made stays: no collection looks at it again, and collections are seldom."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG, MIDDLE, OLD)


def behind(app: Flask) -> None:
    """Keep the region's choices for replay, and link the audit behind the requests of this process."""
    services: Services = app.extensions["services"]
    linker = Linker.of(services.store, services.settings, services.enforcement.switches)
    with contextlib.suppress(Exception):  # where the database is away, the linker tries again
        linker.keep_policy()
    app.before_request(linker.start)
    if "front" in app.extensions:
        app.extensions["front"].before.append(linker.start)


def archive_proxy() -> Flask:
    """The WSGI application of `flask gate serve`."""
    settings = Settings.from_environ()
    made = create_proxy(settings)
    refuse_unsafe(made)
    behind(made)
    return made
