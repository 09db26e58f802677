"""A small region over HTTP, and two registries of which one never held what is withheld."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from flask import Flask

from tests.properties.noninterference import pair
from tests.security.sides import Sides, settle
from tests.support import region
from tests.support.region import Caller, caller


@pytest.fixture(params=["sqlite", "postgresql"], scope="module")
def both(request: pytest.FixtureRequest, module_database: Callable[[str], str]) -> Iterator[Sides]:
    with pair(lambda: module_database(request.param)) as made:
        yield made


@pytest.fixture
def sides(both: Sides) -> Sides:
    settle(both)
    return both


@pytest.fixture
def steward(app: Flask) -> Caller:
    return region.settle(app)


@pytest.fixture
def treating(app: Flask, steward: Caller) -> Caller:
    """The record system of B, where the patient is in care."""
    return caller(app)


@pytest.fixture
def stranger(app: Flask, steward: Caller) -> Caller:
    """The record system of C, which has nothing to do with the patient."""
    return caller(app, ods="RXC")
