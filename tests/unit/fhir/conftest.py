"""HL7's own examples and definitions for R4, fetched once from npm (CC0) and kept outside of the project."""

from __future__ import annotations

import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path

import pytest

PACKAGE = "hl7.fhir.r4.examples@4.0.1"
CACHE = Path(tempfile.gettempdir()) / "hl7.fhir.r4.examples-4.0.1"


@pytest.fixture(scope="session")
def hl7() -> Path:
    """The folder with the files of the package, `Type-id.json` each."""
    if not CACHE.exists():
        scratch = Path(tempfile.mkdtemp(prefix="hl7-examples-"))
        subprocess.run(["npm", "pack", PACKAGE, "--silent"], check=True, cwd=scratch, capture_output=True, timeout=300)
        (archive,) = scratch.glob("*.tgz")
        with tarfile.open(archive) as packed:
            packed.extractall(scratch, filter="data")
        try:
            (scratch / "package").rename(CACHE)
        except OSError:  # another test process was first
            assert CACHE.exists()
        shutil.rmtree(scratch)
    return CACHE
