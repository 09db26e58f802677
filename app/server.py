"""What `make run` starts: the schema brought up to date, the demo region on first start, web server and worker.

Ctrl-C or SIGTERM stops it; a second start finds everything as it was. Production starts the same way, by
`python -m app.server`, behind whatever ends TLS there.
"""

from __future__ import annotations

import errno
import http.client
import multiprocessing
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time

from granian import Granian
from granian.constants import Interfaces
from granian.log import LogLevels

from app import create_app, observability
from app.cli import COMMANDS
from app.config import ANY_INTERFACE, Settings, SettingsError
from app.demo.cli import STEWARD
from app.demo.load import load
from app.interactions import Services
from app.policy.switches import SwitchError
from app.serving import refuse_unsafe
from app.storage import schema
from app.storage.engine import unavailable
from app.web.welcome import welcome

PATIENCE_SECONDS = 60
STOPPING_SECONDS = 10
RESTART_SECONDS = 1.0
WORKER = (sys.executable, "-m", "flask", "--app", "wsgi", "worker")
# The web server's own messages join the log of all others.
LOGGING = {"version": 1, "disable_existing_loggers": False, "loggers": {"_granian": {"propagate": True}}}


def main() -> int:
    """Serve until stopped; the exit status."""
    try:
        settings = Settings.from_environ()
        listenable(settings)
        prepare(settings)
        with tempfile.TemporaryDirectory(prefix="registry-metrics-") as shared:
            serve(settings, shared)
    except (SettingsError, SwitchError) as error:
        faults = error.faults if isinstance(error, SettingsError) else (str(error),)
        print("\n".join(["the registry does not start:", *(f"  {fault}" for fault in faults)]), file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 0
    except Exception as error:
        if not unavailable(error):
            raise
        print("the registry does not start: the database cannot be reached", file=sys.stderr)
        return 1
    observability.event("server_stopped")
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


def serve(settings: Settings, shared: str) -> None:
    """Run web server and worker until a signal says stop. `shared` is where their processes share metrics."""
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = shared
    # A fresh interpreter each: metrics and database connections must not be inherited.
    multiprocessing.set_start_method("spawn", force=True)
    stopping = threading.Event()
    threading.Thread(target=announce, args=(settings, stopping), daemon=True).start()
    worker = threading.Thread(target=keep, args=("worker", WORKER, stopping))
    if "worker" in COMMANDS:
        worker.start()
    try:
        Granian(
            "wsgi:app",
            address=settings.host,
            port=settings.port,
            interface=Interfaces.WSGI,
            workers=settings.workers or os.cpu_count() or 1,
            blocking_threads=settings.threads,
            respawn_failed_workers=True,
            respawn_interval=RESTART_SECONDS,
            workers_kill_timeout=STOPPING_SECONDS,
            log_level=LogLevels.warning,
            log_dictconfig=LOGGING,
            websockets=False,
        ).serve()
    finally:
        stopping.set()
        if worker.is_alive():
            worker.join()


def keep(name: str, command: tuple[str, ...], stopping: threading.Event) -> None:
    """Run a process, start it again when it ends by itself, and stop it at the end."""
    while not stopping.is_set():
        process = subprocess.Popen(command, start_new_session=True)
        while process.poll() is None and not stopping.wait(0.2):
            pass
        if stopping.is_set():
            process.terminate()
            try:
                process.wait(STOPPING_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        else:
            observability.event("process_ended", process=name, status=process.returncode)
            stopping.wait(RESTART_SECONDS)


def announce(settings: Settings, stopping: threading.Event) -> None:
    """Say where everything is as soon as the server answers."""
    until = time.monotonic() + PATIENCE_SECONDS
    while not ready(settings):
        if time.monotonic() > until or stopping.wait(0.05):
            return
    database = settings.database_url.split(":", 1)[0]
    observability.event("server_ready", address=settings.origin, mode=settings.mode, database=database)
    print(welcome(settings, os.environ), flush=True)


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
    sys.exit(main())
