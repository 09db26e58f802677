"""Fixtures for every test: databases of both kinds, a running application, and no network but loopback."""

from __future__ import annotations

import ipaddress
import os
import shutil
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from hypothesis import HealthCheck, settings

from app import create_app
from app.config import Settings
from app.storage import schema
from app.storage.engine import Store
from tests.support import postgres

settings.register_profile("suite", deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
settings.load_profile("suite")

INSTALL = {"postgresql": "apt-get install postgresql", "orthanc": "apt-get install orthanc orthanc-dicomweb"}


def needed(part: str, there: bool) -> None:
    """Skip the test for want of a part, saying how to install it; on a machine that must have it, fail."""
    if there:
        return
    reason = f"{part} is not installed; as root: {INSTALL.get(part, 'apt-get install ' + part)}"
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="session", autouse=True)
def loopback_only() -> Iterator[None]:
    """Nothing a test does leaves this machine."""
    real = socket.socket.connect

    def connect(self: socket.socket, address: Any) -> None:
        if self.family in (socket.AF_INET, socket.AF_INET6):
            host = address[0]
            if host != "localhost" and not ipaddress.ip_address(host).is_loopback:
                raise PermissionError(f"a test wanted to connect to {host}; expected loopback alone")
        real(self, address)

    socket.socket.connect = connect  # type: ignore[method-assign,assignment]
    yield
    socket.socket.connect = real  # type: ignore[method-assign]


@pytest.fixture(scope="session")
def postgresql() -> Iterator[str]:
    """A PostgreSQL server for the session, with a migrated database `ready` to be copied."""
    needed("postgresql", postgres.binaries() is not None)
    with postgres.cluster() as base:
        url = postgres.create_database(base)
        store = Store(url)
        schema.upgrade(store)
        store.close()
        yield base + "|" + url.rsplit("/", 1)[1]


@pytest.fixture(scope="session")
def migrated_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated SQLite file to be copied."""
    path = tmp_path_factory.mktemp("sqlite") / "ready.db"
    store = Store(f"sqlite:///{path}")
    schema.upgrade(store)
    store.close()  # the last connection to go moves the log into the file
    return path


@pytest.fixture
def fresh_database(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[str], str]:
    """Makes a migrated, empty database of a kind; its URL."""

    def make(kind: str) -> str:
        if kind == "sqlite":
            path = tmp_path / f"registry-{os.urandom(4).hex()}.db"
            shutil.copy(request.getfixturevalue("migrated_sqlite"), path)
            return f"sqlite:///{path}"
        base, template = request.getfixturevalue("postgresql").split("|")
        return postgres.create_database(base, template)

    return make


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, fresh_database: Callable[[str], str]) -> str:
    """A migrated, empty database, once of each kind."""
    return fresh_database(request.param)


@pytest.fixture
def store(database_url: str) -> Iterator[Store]:
    """A store on a fresh database, once of each kind."""
    made = Store(database_url)
    yield made
    made.close()


@pytest.fixture
def app(database_url: str, tmp_path: Path) -> Iterator[Flask]:
    """The application on a fresh database, once of each kind."""
    made = create_app(Settings(database_url=database_url, keys_dir=str(tmp_path / "keys"), log_level="error"))
    yield made
    made.extensions["services"].store.close()
