"""What the tests of harvesting an archive have in common."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from app.interactions import Services
from tests.e2e.ingest_region import in_sqlite, opened, people


@pytest.fixture
def services(tmp_path: Path) -> Iterator[Services]:
    """A registry of its own, which knows the patients of all files."""
    made = opened(in_sqlite(tmp_path), people())
    yield made
    made.store.close()
