"""A PostgreSQL of the tests' own: a cluster in a temporary folder, on a free loopback port, gone afterwards.

All processes of one test run share it: the first to need it starts it, the run's first process stops it.
"""

from __future__ import annotations

import fcntl
import os
import pwd
import shutil
import socket
import subprocess
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import psycopg

SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "max_connections": "200",
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "autovacuum": "off",
    "max_wal_size": "4GB",
}


def binaries() -> Path | None:
    """The newest PostgreSQL server on this machine."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    if found:
        return found[-1].parent
    on_path = shutil.which("initdb")
    return Path(on_path).parent if on_path else None


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """One process of the run at a time."""
    with (folder / "lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def shared(folder: Path, migrate: Callable[[str], None]) -> tuple[str, str]:
    """The run's server: the URL of its databases without a name, and the name of a migrated, empty one to be copied.

    `folder` is the run's. `migrate` is given the URL of the empty database."""
    with locked(folder):
        known = folder / "server"
        if not known.exists():
            base = start(folder)
            template = create_database(base)
            migrate(template)
            known.write_text(f"{base}\n{template.removeprefix(base)}")
        base, template_name = known.read_text().split("\n")
        return base, template_name


def start(folder: Path, settings: Mapping[str, str] = SETTINGS, name: str = "postgresql") -> str:
    """Make a cluster in `folder` and start it; the URL of its databases without a name."""
    place = binaries()
    assert place is not None
    home = server_home(folder, name)
    data, port = home / "data", free_port()
    call(home, place / "initdb", "-D", data, "-A", "trust", "-U", "registry", "-E", "UTF8", "--locale=C.UTF-8")
    options = {"port": str(port), "unix_socket_directories": str(home)} | dict(settings)
    told = " ".join(f"-c {name}={value}" for name, value in options.items())
    call(home, place / "pg_ctl", "-D", data, "-o", told, "-l", home / "log", "-w", "start")
    return server_url(port)


def server_url(port: int) -> str:
    return f"postgresql+psycopg://registry@127.0.0.1:{port}/"


def server_home(folder: Path, name: str) -> Path:
    """A new folder for a server, which refuses to run as root: handed to somebody else, who must be able to reach it."""
    home = folder / name
    home.mkdir()
    if os.getuid() == 0:
        account = pwd.getpwnam("postgres")
        os.chown(home, account.pw_uid, account.pw_gid)
        folder.chmod(0o711)
    return home


def stop(folder: Path) -> None:
    """Stop the run's server, if one was started."""
    place, home = binaries(), folder / "postgresql"
    if place is not None and (home / "data" / "postmaster.pid").exists():
        call(home, place / "pg_ctl", "-D", home / "data", "-m", "immediate", "-w", "stop")


def as_server() -> list[str]:
    """What goes before a command to run it as the server's account."""
    return ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"] if os.getuid() == 0 else []


def call(home: Path, *command: str | Path) -> None:
    """Run a command of the server's, as its account."""
    done = subprocess.run([*as_server(), *map(str, command)], capture_output=True, text=True, cwd=home)
    assert done.returncode == 0, f"{command[0]} failed: {done.stderr}{done.stdout}"


def create_database(base: str, template: str | None = None, name: str = "") -> str:
    """A fresh database, as a copy of `template` if one is named; its URL."""
    name = name or f"t{uuid.uuid4().hex[:12]}"
    _administer(base, f"CREATE DATABASE {name}" + (f" TEMPLATE {template}" if template else ""))
    return base + name


def drop_database(base: str, url: str) -> None:
    """Remove a database, whoever is still connected to it."""
    _administer(base, f"DROP DATABASE IF EXISTS {url.removeprefix(base)} WITH (FORCE)")


def _administer(base: str, statement: str) -> None:
    with psycopg.connect(f"{base.replace('+psycopg', '')}postgres", autocommit=True) as connection:
        connection.execute(statement)  # type: ignore[arg-type]
