"""A PostgreSQL of the tests' own: a cluster in a temporary folder, on a free loopback port, gone afterwards."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg


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
def cluster() -> Iterator[str]:
    """A running server; yields the URL of its maintenance database, without the name."""
    place = binaries()
    assert place is not None
    folder = Path(tempfile.mkdtemp(prefix="registry-pg-", dir="/tmp"))
    # The server refuses to run as root: hand the folder to somebody else.
    as_other = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"] if os.getuid() == 0 else []
    if as_other:
        account = pwd.getpwnam("postgres")
        os.chown(folder, account.pw_uid, account.pw_gid)
    data, port = folder / "data", free_port()

    def call(*command: str) -> None:
        subprocess.run([*as_other, *command], check=True, capture_output=True, cwd=folder)

    try:
        call(str(place / "initdb"), "-D", str(data), "-A", "trust", "-U", "registry", "-E", "UTF8", "--locale=C.UTF-8")
        options = (
            f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={folder} -c fsync=off"
            " -c synchronous_commit=off -c full_page_writes=off -c max_connections=200"
        )
        call(str(place / "pg_ctl"), "-D", str(data), "-o", options, "-l", str(folder / "log"), "-w", "start")
        try:
            yield f"postgresql+psycopg://registry@127.0.0.1:{port}/"
        finally:
            call(str(place / "pg_ctl"), "-D", str(data), "-m", "immediate", "-w", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def create_database(base: str, template: str | None = None) -> str:
    """A fresh database, as a copy of `template` if one is named; its URL."""
    name = f"t{uuid.uuid4().hex[:12]}"
    with psycopg.connect(f"{base.replace('+psycopg', '')}postgres", autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}" + (f" TEMPLATE {template}" if template else ""))
    return base + name
