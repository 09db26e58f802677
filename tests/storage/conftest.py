"""The storage contract holds on PostgreSQL divided by patient too."""

from __future__ import annotations

from collections.abc import Callable

import pytest

DIVIDED = {"test_contract", "test_conditional", "test_migrations", "test_links"}  # the files that say what it is


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "database_url" in metafunc.fixturenames:
        more = ["partitioned"] if metafunc.module.__name__.rpartition(".")[2] in DIVIDED else []
        metafunc.parametrize("database_url", ["sqlite", "postgresql", *more], indirect=True)


@pytest.fixture
def database_url(request: pytest.FixtureRequest, fresh_database: Callable[[str], str]) -> str:
    """A migrated, empty database, once of each kind."""
    return fresh_database(request.param)
