"""HL7's own definitions and examples for R4, fetched once from npm (CC0) and kept outside of what is versioned."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from app.assets import unpack

PACKAGE = "hl7.fhir.r4.examples@4.0.1"
CACHE = Path(__file__).parents[2] / ".cache" / "hl7.fhir.r4.examples-4.0.1"


def folder() -> Path:
    """The folder with the files of the package, `Type-id.json` each. Needs npm the first time."""
    if not CACHE.exists():
        CACHE.parent.mkdir(exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix="hl7-", dir=CACHE.parent))
        subprocess.run(["npm", "pack", PACKAGE, "--silent"], check=True, cwd=scratch, capture_output=True, timeout=300)
        (archive,) = scratch.glob("*.tgz")
        unpack(archive, scratch)
        try:
            (scratch / "package").rename(CACHE)
        except OSError:  # another test process was first
            assert CACHE.exists()
        shutil.rmtree(scratch, ignore_errors=True)
    return CACHE


def examples(type_name: str) -> Iterator[Path]:
    """The files that are resources of a type."""
    for path in sorted(folder().glob(f"{type_name}-*.json")):
        if path.name.split("-")[0] == type_name:
            yield path
