"""What `make run` starts: the schema brought up to date, the demo region on first start, the web server.

Ctrl-C stops it; a second start finds everything as it was.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from urllib.error import URLError
from urllib.request import urlopen

from granian import Granian
from granian.constants import Interfaces
from granian.log import LogLevels

from app import create_app, observability
from app.config import Settings, SettingsError
from app.demo import story
from app.demo.cli import STEWARD
from app.demo.load import load
from app.interactions import Services
from app.storage import schema

PATIENCE_SECONDS = 60


def main() -> int:
    """Serve until stopped; the exit status."""
    try:
        settings = Settings.from_environ()
    except SettingsError as error:
        print(f"the registry does not start: {error}", file=sys.stderr)
        return 2
    prepare(settings)
    # The processes of the web server read the same settings as this one.
    os.environ["REGISTRY_BASE_URL"] = settings.base_url
    os.environ.setdefault("REGISTRY_LOG_LEVEL", settings.log_level)
    threading.Thread(target=announce, args=(settings,), daemon=True).start()
    Granian(
        "wsgi:app",
        address=settings.host,
        port=settings.port,
        interface=Interfaces.WSGI,
        workers=settings.workers or os.cpu_count() or 1,
        blocking_threads=settings.threads,
        log_enabled=True,
        log_level=LogLevels.warning,
        websockets=False,
    ).serve()
    return 0


def prepare(settings: Settings) -> None:
    """Bring the schema up to date and, on the first start in demo mode, load the demo region."""
    app = create_app(settings)
    services: Services = app.extensions["services"]
    if schema.current(services.store) != schema.newest():
        schema.upgrade(services.store)
        observability.event("migrated", revision=schema.newest())
    if settings.demo and settings.demo_data == "1":
        loaded = load(services, STEWARD)
        if loaded.created:
            observability.event("demo_loaded", resources=loaded.created)
    services.store.close()


def announce(settings: Settings) -> None:
    """Say where everything is as soon as the server answers."""
    address = f"http://{settings.host}:{settings.port}"
    until = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < until:
        try:
            with urlopen(f"{address}/health/ready", timeout=1) as answer:
                if answer.status == 200:
                    break
        except (URLError, OSError):
            time.sleep(0.1)
    else:
        return
    database = settings.database_url.split(":", 1)[0]
    observability.event("server_ready", address=address, mode=settings.mode, database=database)
    print(welcome(settings), flush=True)


def welcome(settings: Settings) -> str:
    """The addresses, and in demo mode what to try."""
    lines = [
        "",
        f"  The imaging registry is ready: {settings.origin}/",
        f"  FHIR R4 {settings.base_url}   health {settings.origin}/health/ready",
    ]
    if settings.demo and settings.demo_data == "1":
        lines += ["", "  Three clients to be (tokens by `.venv/bin/flask --app wsgi token --client ID`):"]
        lines += [f"    {id:20} {shown}" for id, shown in story.SHOWN_CLIENTS]
        lines += ["", "  Three lines to paste into another terminal, in this folder:", ""]
        lines += [f"    {line}" for line in story.curls(settings.base_url)]
    return "\n".join([*lines, "", "  Ctrl-C stops it.", ""])


if __name__ == "__main__":
    sys.exit(main())
