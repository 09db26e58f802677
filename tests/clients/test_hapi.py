"""HAPI FHIR's generic client, unmodified, in JSON and in XML: https://hapifhir.io/hapi-fhir/docs/client"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.clients.conftest import Registry
from tests.support.parts import requires

pytestmark = [requires("maven"), pytest.mark.timeout(900)]
PROJECT = Path(__file__).with_name("hapi")


@pytest.fixture(scope="session")
def classpath(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The client compiled by Maven, which fetches what it needs the first time."""
    folder = tmp_path_factory.mktemp("hapi")
    shutil.copytree(PROJECT, folder, dirs_exist_ok=True)
    goals = ["compile", "dependency:build-classpath", "-Dmdep.outputFile=classpath"]
    done = subprocess.run(["mvn", "-q", "-B", *goals], cwd=folder, capture_output=True, text=True, timeout=800)
    assert done.returncode == 0, done.stdout + done.stderr
    return f"{folder / 'target' / 'classes'}:{(folder / 'classpath').read_text().strip()}"


@pytest.mark.parametrize("format", ["json", "xml"])
def test_a_day_with_hapi(classpath: str, registry: Registry, format: str) -> None:
    command = ["java", "-cp", classpath, "Journey", registry.base, registry.token, format]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200)
    assert (done.returncode, done.stdout.strip()) == (0, "done"), done.stderr
