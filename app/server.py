"""What `make run` starts: the schema brought up to date, the demo region on first start, web server and worker.

Ctrl-C or SIGTERM stops it; a second start finds everything as it was. Production starts the same way, by
`python -m app.server`, behind whatever ends TLS there.
"""

from __future__ import annotations

import errno
import http.client
import logging
import os
import secrets
import signal
import socket
import sys
import tempfile
import threading
import time
from functools import partial
from pathlib import Path

from granian import Granian
from granian.constants import Interfaces
from granian.log import LogLevels

from app import create_app, observability
from app.config import ANY_INTERFACE, Settings, SettingsError
from app.demo.cli import STEWARD
from app.demo.load import load
from app.demo.organisations import archives_file
from app.interactions import Services
from app.policy.switches import SwitchError
from app.processes import STOPPING_SECONDS, Forked, Kept, Started, spawned
from app.serving import refuse_unsafe
from app.storage import restoring, schema
from app.storage.engine import unavailable
from app.web.welcome import welcome

PATIENCE_SECONDS = 60
SPARE_THREADS = 16
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
    later = [Kept("worker", partial(spawned, WORKER, environment))]
    if settings.demo_region and not settings.archives_file:
        environment, archive = demo_archive(environment, Path(shared))
        later.append(archive)
    kept = [Kept("web", partial(web_server, environment))]
    announced, until = False, time.monotonic() + PATIENCE_SECONDS
    while not stopping.wait(0.05):
        if later and (announced or time.monotonic() >= until):
            kept += later  # they take the processor from a web server that is about to be ready
            later = []
        for one in kept:
            one.attend()
        if not announced and time.monotonic() < until and ready(settings):
            announced = True
            database = settings.database_url.split(":", 1)[0]
            observability.event("server_ready", address=settings.origin, mode=settings.mode, database=database)
            print(welcome(settings, os.environ), flush=True)
    for one in reversed(kept):
        one.stop()


def demo_archive(environment: dict[str, str], folder: Path) -> tuple[dict[str, str], Kept]:
    """The demo region's image archive, as a process behind the proxy: the environment that tells the web server of it,
    and the process. Its password is made anew each time."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    password, archives = folder / "archive-password", folder / "archives.toml"
    password.touch(mode=0o600)
    password.write_text(secrets.token_urlsafe(32))
    archives.write_text(archives_file(port, str(password)))
    command = (sys.executable, "-m", "app.demo.archive", str(port), str(password))
    return environment | {"REGISTRY_ARCHIVES_FILE": str(archives)}, Kept(
        "archive", partial(spawned, command, environment)
    )


def web_server(environment: dict[str, str]) -> Started:
    """The web server as a process. Forked on Linux, so that the third of the start that is importing is done once."""
    if sys.platform != "linux":
        return spawned(WEB, environment)

    def work() -> int:
        os.environ.clear()
        os.environ.update(environment)
        observability.share()
        return web()

    return Forked(work)


def web() -> int:
    """The web server alone, as one of the processes that are kept."""
    settings = Settings.from_environ()
    observability.configure(settings.log_level, settings.log_format)
    # It advises against so many threads, not knowing that admission lets few of them work at once.
    logging.getLogger("_granian").addFilter(lambda record: "Python threads" not in record.getMessage())
    Granian(
        "wsgi:app",
        address=settings.host,
        port=settings.port,
        interface=Interfaces.WSGI,
        workers=settings.workers or os.cpu_count() or 1,
        # Those at work, those that wait for it, and some to refuse and to stream what is already decided.
        blocking_threads=settings.threads + settings.waiting + SPARE_THREADS,
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
        restoring.carry_on(services.store)
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
