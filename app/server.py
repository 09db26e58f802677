"""What `make run` starts: the schema brought up to date, the demo region on first start, web server and worker.

Ctrl-C or SIGTERM stops it; a second start finds everything as it was. Production starts the same way, by
`python -m app.server`, behind whatever ends TLS there.
"""

from __future__ import annotations

import errno
import http.client
import os
import signal
import socket
import sys
import tempfile
import threading
import time

from granian import Granian
from granian.constants import Interfaces
from granian.log import LogLevels

from app import create_app, observability
from app.config import ANY_INTERFACE, Settings, SettingsError
from app.demo.cli import STEWARD
from app.demo.load import load
from app.interactions import Services
from app.policy.switches import SwitchError
from app.processes import STOPPING_SECONDS, Kept
from app.serving import refuse_unsafe
from app.storage import schema
from app.storage.engine import unavailable
from app.web.welcome import welcome

PATIENCE_SECONDS = 60
WEB = (sys.executable, "-m", "app.server", "web")
WORKER = (sys.executable, "-m", "flask", "--app", "wsgi", "worker")
# The web server's own messages join the log of all others.
LOGGING = {"version": 1, "disable_existing_loggers": False, "loggers": {"_granian": {"propagate": True}}}


def main() -> int:
    """Serve until stopped; the exit status."""
    stopping = threading.Event()
    for wanted in (signal.SIGINT, signal.SIGTERM):
        signal.signal(wanted, lambda *_: stopping.set())
    try:
        settings = Settings.from_environ()
        listenable(settings)
        prepare(settings)
    except (SettingsError, SwitchError) as error:
        faults = error.faults if isinstance(error, SettingsError) else (str(error),)
        print("\n".join(["the registry does not start:", *(f"  {fault}" for fault in faults)]), file=sys.stderr)
        return 2
    except Exception as error:
        if not unavailable(error):
            raise
        print("the registry does not start: the database cannot be reached", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory(prefix="registry-metrics-") as shared:
        run(settings, shared, stopping)
    observability.event("server_stopped")
    return 0


def run(settings: Settings, shared: str, stopping: threading.Event) -> None:
    """Keep web server and worker running until it is time to stop. `shared` is where their processes share metrics."""
    environment = os.environ | {"PROMETHEUS_MULTIPROC_DIR": shared}
    kept = [Kept("web", WEB, environment)]
    worker = Kept("worker", WORKER, environment)
    announced, until = False, time.monotonic() + PATIENCE_SECONDS
    while not stopping.wait(0.05):
        if worker not in kept and (announced or time.monotonic() >= until):
            kept.append(worker)  # it takes the processor from a web server that is about to be ready
        for one in kept:
            one.attend()
        if not announced and time.monotonic() < until and ready(settings):
            announced = True
            database = settings.database_url.split(":", 1)[0]
            observability.event("server_ready", address=settings.origin, mode=settings.mode, database=database)
            print(welcome(settings, os.environ), flush=True)
    for one in reversed(kept):
        one.stop()


def web() -> int:
    """The web server alone, as one of the processes that are kept."""
    settings = Settings.from_environ()
    observability.configure(settings.log_level, settings.log_format)
    Granian(
        "wsgi:app",
        address=settings.host,
        port=settings.port,
        interface=Interfaces.WSGI,
        workers=settings.workers or os.cpu_count() or 1,
        blocking_threads=settings.threads,
        respawn_failed_workers=True,
        respawn_interval=1.0,
        workers_kill_timeout=STOPPING_SECONDS,
        log_level=LogLevels.warning,
        log_dictconfig=LOGGING,
        websockets=False,
    ).serve()
    return 0


def listenable(settings: Settings) -> None:
    """Raise SettingsError where HOST and PORT cannot be listened on, before anything is begun."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((settings.host, settings.port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise SettingsError([f"port {settings.port} is taken; expected a free one, as in PORT=8081"]) from None
            raise SettingsError(["HOST and PORT cannot be listened on; expected an address of this machine"]) from None


def prepare(settings: Settings) -> None:
    """Bring the schema up to date, load the demo region where it is wanted, and see that it is safe to serve."""
    app = create_app(settings)
    services: Services = app.extensions["services"]
    try:
        if schema.current(services.store) != schema.newest():
            schema.upgrade(services.store)
            observability.event("migrated", revision=schema.newest())
        refuse_unsafe(app)
        if settings.demo_region:
            loaded = load(services, STEWARD)
            if loaded.created:
                observability.event("demo_loaded", resources=loaded.created)
    finally:
        services.store.close()


def ready(settings: Settings) -> bool:
    """Whether the server answers that it is. Asked directly, whatever proxies the environment names."""
    connection = http.client.HTTPConnection(ANY_INTERFACE.get(settings.host, settings.host), settings.port, timeout=1)
    try:
        connection.request("GET", "/health/ready")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


if __name__ == "__main__":
    sys.exit(web() if sys.argv[1:] == ["web"] else main())
