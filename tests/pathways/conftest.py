"""A region over HTTP for every pathway, on both databases, and a clock that can be set forward."""

from __future__ import annotations

import pytest
from flask import Flask

from app.interactions import Services
from app.storage.engine import microseconds
from tests.support.region import Caller, caller, settle

HOUR = 3_600_000_000


class Clock:
    """The server's clock; `forward` sets it on."""

    def __init__(self, services: Services) -> None:
        self.shift = 0
        services.store.clock = lambda: microseconds() + self.shift

    def forward(self, *, hours: float = 0, days: float = 0) -> None:
        self.shift += int((hours + 24 * days) * HOUR)


@pytest.fixture
def services(app: Flask) -> Services:
    found: Services = app.extensions["services"]
    return found


@pytest.fixture
def clock(services: Services) -> Clock:
    return Clock(services)


@pytest.fixture
def steward(app: Flask) -> Caller:
    return settle(app)


@pytest.fixture
def treating(app: Flask, steward: Caller) -> Caller:
    """The record system of B, where the patient is in care."""
    return caller(app)
