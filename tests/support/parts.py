"""Parts of the machine that tests drive for real. One that is missing skips the test, saying how to install it; with
`CI=true`, where it must be there, the test fails instead.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support import postgres


@dataclass(frozen=True)
class Part:
    """A system part: how to see whether it is there, and how to get it."""

    there: Callable[[], object]
    install: str


def _plugin(name: str) -> Callable[[], bool]:
    return lambda: (Path("/usr/share/orthanc/plugins") / name).exists()


def chromium() -> str | None:
    return shutil.which("chromium") or shutil.which("chromium-browser")


PARTS = {
    "postgresql": Part(postgres.binaries, "apt-get install postgresql"),
    "pgbouncer": Part(
        lambda: shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin"), "apt-get install pgbouncer"
    ),
    "orthanc": Part(lambda: shutil.which("Orthanc"), "apt-get install orthanc"),
    "orthanc-dicomweb": Part(_plugin("libOrthancDicomWeb.so"), "apt-get install orthanc-dicomweb"),
    "orthanc-python": Part(_plugin("libOrthancPython.so"), "apt-get install orthanc-python"),
    "dcmtk": Part(lambda: shutil.which("storescu"), "apt-get install dcmtk"),
    "chromium": Part(chromium, "apt-get install chromium"),
    "maven": Part(lambda: shutil.which("mvn"), "apt-get install maven"),
    "npm": Part(lambda: shutil.which("npm"), "apt-get install npm"),
}


def requires(*names: str) -> pytest.MarkDecorator:
    """Mark a test, a class or (as `pytestmark`) a module as needing these parts."""
    unknown = set(names) - set(PARTS)
    assert not unknown, f"no such part: {unknown}"
    return pytest.mark.requires(*names)


def needed(*names: str) -> None:
    """For fixtures: skip, or with CI=true fail, where one of the parts is missing."""
    missing = [PARTS[name] for name in names if not PARTS[name].there()]
    if not missing:
        return
    reason = "as root: " + " && ".join(part.install for part in missing)
    if os.environ.get("CI") == "true":
        pytest.fail(f"a part is missing that CI must have; {reason}")
    pytest.skip(reason)
