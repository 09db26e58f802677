"""Several PostgreSQL servers as an operator has them: a primary, a standby that follows it, a pooler in front, backups.

Durable, unlike the run's own cluster: they are killed on purpose.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg

from tests.support.postgres import as_server, binaries, call, create_database, free_port, server_home, server_url
from tests.support.postgres import start as start_cluster

PATIENCE_SECONDS = 60
SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "max_connections": "100",
    "shared_buffers": "32MB",
    "wal_keep_size": "256MB",
    "fsync": "on",
    "synchronous_commit": "on",
}


def until(holds: Callable[[], Any], what: str) -> None:
    """Wait, as long as a slow machine needs."""
    end = time.monotonic() + PATIENCE_SECONDS
    while not holds():
        assert time.monotonic() < end, what
        time.sleep(0.02)


class Server:
    """One PostgreSQL server with a data directory of its own below `folder`."""

    def __init__(self, folder: Path, name: str = "postgresql") -> None:
        self.folder, self.name = folder, name
        self.home = folder / name
        self.base = ""

    @property
    def port(self) -> int:
        return int(self.base.rsplit(":", 1)[1].rstrip("/"))

    def create(self, settings: dict[str, str] | None = None) -> Server:
        """Make a new cluster and start it."""
        self.base = start_cluster(self.folder, SETTINGS | (settings or {}), self.name)
        return self

    def follow(self, primary: Server, mark: str = "standby") -> Server:
        """Become a streaming standby of `primary`, from a base backup."""
        self._copied(primary, "-R", "-X", "stream", "-C", "-S", mark)
        return self

    def restore(self, primary: Server) -> Server:
        """Become what a base backup of `primary` holds, and a primary of its own."""
        self._copied(primary, "-X", "stream")
        return self

    def _copied(self, primary: Server, *how: str) -> None:
        server_home(self.folder, self.name)
        given = ("-d", f"postgresql://registry@127.0.0.1:{primary.port}/postgres", "-c", "fast")
        call(self.home, _binary("pg_basebackup"), "-D", self.home / "data", *given, *how)
        self.base = server_url(free_port())
        self.start(SETTINGS)

    def start(self, settings: dict[str, str] | None = None) -> None:
        """Start it again, on its port."""
        options = (settings or SETTINGS) | {"port": str(self.port), "unix_socket_directories": str(self.home)}
        told = " ".join(f"-c {name}={value}" for name, value in options.items())
        call(self.home, _binary("pg_ctl"), "-D", self.home / "data", "-o", told, "-l", self.home / "log", "-w", "start")

    def stop(self, how: str = "immediate") -> None:
        """End it at once, as a loss of power does, unless told otherwise."""
        if (self.home / "data" / "postmaster.pid").exists():
            call(self.home, _binary("pg_ctl"), "-D", self.home / "data", "-m", how, "-w", "stop")

    def promote(self) -> None:
        call(self.home, _binary("pg_ctl"), "-D", self.home / "data", "-w", "promote")

    def database(self, migrate: Callable[[str], None]) -> str:
        """A new, migrated database; its name."""
        url = create_database(self.base)
        migrate(url)
        return url.removeprefix(self.base)

    def ask(self, statement: str, name: str = "postgres") -> Any:
        """The first value that a statement answers."""
        with psycopg.connect(self.base.replace("+psycopg", "") + name, autocommit=True) as connection:
            cursor = connection.execute(statement)  # type: ignore[arg-type]
            return (cursor.fetchone() or (None,))[0] if cursor.description else None

    def caught_up(self, primary: Server) -> None:
        """Wait until this standby has everything that the primary has written."""
        place = primary.ask("SELECT pg_current_wal_lsn()")
        until(lambda: self.ask(f"SELECT pg_last_wal_replay_lsn() >= '{place}'"), "the standby does not catch up")


def either(first: Server, second: Server, name: str) -> str:
    """The URL of whichever of two servers is the primary."""
    hosts = "&".join(f"host=127.0.0.1:{one.port}" for one in (first, second))
    return f"postgresql+psycopg://registry@/{name}?{hosts}&target_session_attrs=read-write&connect_timeout=5"


def dump(server: Server, name: str, file: Path) -> None:
    """`pg_dump` of one database, in its own format."""
    url = server.base.replace("+psycopg", "") + name
    subprocess.run([str(_binary("pg_dump")), "-Fc", "-d", url, "-f", str(file)], check=True, capture_output=True)


def restored(server: Server, file: Path) -> str:
    """A new database from a dump; its URL."""
    url = create_database(server.base)
    target = url.replace("+psycopg", "")
    command = [str(_binary("pg_restore")), "-d", target, "--exit-on-error", str(file)]
    subprocess.run(command, check=True, capture_output=True)
    return url


class Pooler:
    """pgbouncer in transaction mode, in front of one server."""

    def __init__(self, folder: Path, server: Server) -> None:
        self.port = free_port()
        home = server_home(folder, "pgbouncer")
        (home / "users").write_text('"registry" ""\n')
        (home / "pgbouncer.ini").write_text(
            f"[databases]\n* = host=127.0.0.1 port={server.port}\n[pgbouncer]\nlisten_addr = 127.0.0.1\n"
            f"listen_port = {self.port}\nunix_socket_dir =\nauth_type = trust\nauth_file = {home}/users\n"
            "pool_mode = transaction\ndefault_pool_size = 4\nmax_client_conn = 200\nserver_reset_query =\n"
        )
        self.log = (home / "log").open("w")
        command = [*as_server(), str(shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin"))]
        self.process = subprocess.Popen(
            [*command, str(home / "pgbouncer.ini")], stdout=self.log, stderr=self.log, cwd=home
        )
        until(self._answers, "pgbouncer does not start")

    def url(self, name: str) -> str:
        return f"postgresql+psycopg://registry@127.0.0.1:{self.port}/{name}"

    def _answers(self) -> bool:
        try:
            with psycopg.connect(f"postgresql://registry@127.0.0.1:{self.port}/postgres"):
                return True
        except psycopg.OperationalError:
            return False

    def close(self) -> None:
        self.process.terminate()
        self.process.wait(PATIENCE_SECONDS)
        self.log.close()


def _binary(name: str) -> Path:
    place = binaries()
    assert place is not None
    return place / name
