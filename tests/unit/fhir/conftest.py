"""HL7's own examples and definitions for R4."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support import hl7 as package


@pytest.fixture(scope="session")
def hl7() -> Path:
    """The folder with the files of the package, `Type-id.json` each."""
    return package.folder()
