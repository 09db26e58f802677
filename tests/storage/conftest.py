"""The storage contract holds on PostgreSQL divided by patient too."""

from __future__ import annotations

from collections.abc import Callable

import pytest


@pytest.fixture(params=["sqlite", "postgresql", "partitioned"])
def database_url(request: pytest.FixtureRequest, fresh_database: Callable[[str], str]) -> str:
    """A migrated, empty database, once of each kind."""
    return fresh_database(request.param)
