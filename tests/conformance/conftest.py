"""A region over HTTP for every conformance test, on both databases."""

from __future__ import annotations

import pytest
from flask import Flask

from tests.support.region import Caller, caller, settle


@pytest.fixture
def steward(app: Flask) -> Caller:
    return settle(app)


@pytest.fixture
def treating(app: Flask, steward: Caller) -> Caller:
    """The record system of B, where the patient is in care."""
    return caller(app)


@pytest.fixture
def stranger(app: Flask, steward: Caller) -> Caller:
    """The record system of C, which has nothing to do with the patient."""
    return caller(app, ods="RXC")
