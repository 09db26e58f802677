"""Packages of npm that the tests try the registry with: fetched once, with npm's own check, outside what is versioned."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path

from app.assets import unpack

CACHE = Path(__file__).parents[2] / ".cache" / "npm"


def package(name: str, version: str) -> Path:
    """The folder of the package as it was published, without what it depends on. Needs npm the first time."""
    folder = CACHE / f"{name}-{version}"
    if not folder.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(dir=CACHE))
        command = ["npm", "pack", f"{name}@{version}", "--silent"]
        subprocess.run(command, check=True, cwd=scratch, capture_output=True, timeout=300)
        (archive,) = scratch.glob("*.tgz")
        unpack(archive, scratch)
        try:
            (scratch / "package").rename(folder)
        except OSError:  # another process of the run was first
            assert folder.exists()
        shutil.rmtree(scratch, ignore_errors=True)
    return folder
