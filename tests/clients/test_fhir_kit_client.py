"""fhir-kit-client, unmodified: https://www.npmjs.com/package/fhir-kit-client"""

from __future__ import annotations

import fcntl
import subprocess
from pathlib import Path

import pytest

from tests.clients.conftest import Registry
from tests.support.parts import requires

pytestmark = requires("npm")
KIT = Path(__file__).with_name("kit")


@pytest.fixture(scope="session")
def installed() -> Path:
    """The folder with the package in it, fetched by npm the first time."""
    with (KIT / "package.json").open() as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        if not (KIT / "node_modules" / "fhir-kit-client").is_dir():
            command = ["npm", "install", "--no-audit", "--no-fund", "--no-package-lock", "--silent"]
            subprocess.run(command, cwd=KIT, check=True, capture_output=True, timeout=280)
    return KIT


def test_a_day_with_fhir_kit_client(installed: Path, registry: Registry) -> None:
    command = ["node", "journey.mjs", registry.base, registry.token]
    done = subprocess.run(command, cwd=installed, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout.strip()) == (0, "done"), done.stderr
