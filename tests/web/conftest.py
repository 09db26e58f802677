"""A running server and a browser for the tests of the pages."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page

from tests.support.server import Running


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """The demo region, as `make run` serves it."""
    running = Running(tmp_path_factory.mktemp("served"))
    running.start()
    yield running
    running.close()


@pytest.fixture
def page(browser: Browser, served: Running) -> Iterator[Page]:
    """An empty page; addresses may begin with `/`."""
    context = browser.new_context(base_url=served.address)
    yield context.new_page()
    context.close()
