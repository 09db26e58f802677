"""Fixtures for every test: databases of both kinds, a running application, and no network but loopback."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from flask import Flask
from hypothesis import HealthCheck, settings
from playwright.sync_api import Browser

from app import create_app
from app.config import Settings
from app.storage import schema
from app.storage.engine import Store
from tests.support import network, postgres
from tests.support.browser import chromium_running
from tests.support.parts import needed

# The suite's runs are bounded and repeatable; HYPOTHESIS_PROFILE=deep looks further, and elsewhere every time.
settings.register_profile("suite", deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
settings.register_profile("deep", deadline=None, max_examples=2000, suppress_health_check=list(HealthCheck))
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "suite"))

PARTITIONS = 4  # of a database of the kind "partitioned"
RUN = "PYTEST_REGISTRY_RUN"  # the folder of this run, which its processes share


def pytest_configure(config: pytest.Config) -> None:
    # Settings of the machine that runs the tests are none of the tests' business.
    for name in [name for name in os.environ if name.startswith("REGISTRY_") or name in ("HOST", "PORT")]:
        del os.environ[name]
    network.guard()
    if not hasattr(config, "workerinput"):
        os.environ[RUN] = tempfile.mkdtemp(prefix="registry-tests-")


def pytest_unconfigure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):
        folder = Path(os.environ.pop(RUN))
        postgres.stop(folder)
        shutil.rmtree(folder, ignore_errors=True)


def pytest_runtest_setup(item: pytest.Item) -> None:
    for mark in item.iter_markers("requires"):
        needed(*mark.args)


def migrate(url: str, partitions: int = 0) -> None:
    store = Store(url)
    schema.upgrade(store, number=partitions)
    store.close()  # of SQLite, the last connection to go moves the log into the file


@pytest.fixture(scope="session")
def postgresql() -> str:
    """The run's PostgreSQL: the URL of its databases without a name, a bar, the name of the one to be copied."""
    needed("postgresql")
    return "|".join(postgres.shared(Path(os.environ[RUN]), migrate))


@pytest.fixture(scope="session")
def partitioned_postgresql(postgresql: str) -> str:
    """The same, with a database that is divided by patient as the one to be copied."""
    base = postgresql.split("|")[0]
    template = postgres.create_database(base)
    migrate(template, PARTITIONS)
    return f"{base}|{template.removeprefix(base)}"


@pytest.fixture(scope="session")
def migrated_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated SQLite file to be copied."""
    path = tmp_path_factory.mktemp("sqlite") / "ready.db"
    migrate(f"sqlite:///{path}")
    return path


def copies(request: pytest.FixtureRequest, folder: Path) -> Iterator[Callable[[str], str]]:
    """Makes migrated, empty databases of a kind, and removes them at the end."""
    made: list[tuple[str, str]] = []

    def make(kind: str) -> str:
        if kind == "sqlite":
            path = folder / f"registry-{os.urandom(4).hex()}.db"
            shutil.copy(request.getfixturevalue("migrated_sqlite"), path)
            return f"sqlite:///{path}"
        server = "partitioned_postgresql" if kind == "partitioned" else "postgresql"
        base, template = request.getfixturevalue(server).split("|")
        made.append((base, postgres.create_database(base, template)))
        return made[-1][1]

    yield make
    for base, url in made:
        postgres.drop_database(base, url)


@pytest.fixture
def fresh_database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[str], str]]:
    """Makes a migrated, empty database of a kind, for this test; its URL."""
    yield from copies(request, tmp_path)


@pytest.fixture(scope="module")
def module_database(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[str], str]]:
    """Makes a migrated, empty database of a kind, for all tests of a module; its URL."""
    yield from copies(request, tmp_path_factory.mktemp("databases"))


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


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """The run's browser: one in each process, for Playwright bears no second."""
    needed("chromium")
    with chromium_running() as made:
        yield made
