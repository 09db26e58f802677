"""A server as `make run` starts it, and the token of somebody who may do everything there."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.support.server import Running


@dataclass(frozen=True)
class Registry:
    """`base` is the FHIR base URL."""

    base: str
    token: str


@pytest.fixture(scope="session")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    running = Running(tmp_path_factory.mktemp("registry"))
    running.start()
    token = running.flask("token", "--client", "demo-steward", "--expires", "3600").strip()
    yield Registry(f"{running.address}/fhir", token)
    running.close()
