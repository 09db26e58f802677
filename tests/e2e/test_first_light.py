"""The first ten minutes of a newcomer: start the server, paste the README's lines, ask why, stop, start again."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import pydicom.data
import pytest

from app.demo import story
from tests.support.postgres import free_port
from tests.support.readme import README

ROOT = README.parent
FLASK = str(Path(sys.executable).with_name("flask"))
DICOMDIR = Path(pydicom.data.__file__).parent / "test_files" / "dicomdirtests"


class Running:
    """A server as `make run` starts it, on a port and in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.folder = folder
        self.environment = {k: v for k, v in os.environ.items() if not k.startswith("REGISTRY_")} | {
            "PORT": str(self.port),
            "REGISTRY_DATABASE_URL": f"sqlite:///{folder}/registry.db",
            "REGISTRY_KEYS_DIR": f"{folder}/keys",
            "REGISTRY_WORKERS": "1",
        }
        self.process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        with (self.folder / "log").open("a") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "app.server"], cwd=ROOT, env=self.environment, stdout=log, stderr=log, text=True
            )
        until = time.monotonic() + 60
        while time.monotonic() < until:
            try:
                with urlopen(f"http://127.0.0.1:{self.port}/health/ready", timeout=1):
                    return
            except (URLError, OSError):
                time.sleep(0.1)
        raise AssertionError((self.folder / "log").read_text())

    def stop(self) -> int:
        assert self.process is not None
        self.process.send_signal(signal.SIGINT)
        status = self.process.wait(timeout=30)
        self.process = None
        return status

    def paste(self, line: str) -> str:
        """A line of the README in a shell, on this server's port."""
        line = line.replace("127.0.0.1:8080", f"127.0.0.1:{self.port}").replace(".venv/bin/flask", FLASK)
        done = subprocess.run(["bash", "-c", line], cwd=ROOT, env=self.environment, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def flask(self, *arguments: str) -> str:
        done = subprocess.run(
            [FLASK, "--app", "wsgi", *arguments], cwd=ROOT, env=self.environment, capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 0, done.stderr + done.stdout
        return done.stdout


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    running = Running(tmp_path_factory.mktemp("run"))
    running.start()
    yield running
    if running.process is not None:
        running.stop()


def test_the_readme_works_as_pasted_and_a_second_start_keeps_what_was_done(server: Running) -> None:
    metadata, search, opt_out = re.findall(r"^curl .*$", README.read_text(), re.MULTILINE)[:3]
    assert json.loads(server.paste(metadata))["resourceType"] == "CapabilityStatement"

    found = json.loads(server.paste(search))["entry"]
    matches = [e["resource"] for e in found if e["search"]["mode"] == "match"]
    archives = [e["resource"] for e in found if e["search"]["mode"] == "include"]
    assert {one["id"] for one in matches} == set(story.STORY_STUDIES)
    assert len(archives) == 2
    assert all(one["address"].startswith("http") for one in archives)

    why = server.flask("explain", "--patient", story.STORY_NHS_NUMBER, "--org", "ZA1")
    assert why.count("PERMIT (EPISODE_ACTIVE)") == 2

    assert json.loads(server.paste(opt_out))["resourceType"] == "Consent"
    after = json.loads(server.paste(search))
    assert after["resourceType"] == "Bundle"
    assert "entry" not in after

    why = server.flask("explain", "--patient", story.STORY_NHS_NUMBER, "--org", "ZA1", "--json")
    for one in json.loads(why):
        assert (one["effect"], one["reasons"][0]) == ("DENY", "CONSENT_BASE_DENY")
        assert len(one["steps"]) == 13
        assert all(step["verdict"] for step in one["steps"])

    assert server.stop() in (0, -signal.SIGINT, 128 + signal.SIGINT)
    server.start()
    assert "entry" not in json.loads(server.paste(search))
    assert "Traceback" not in (server.folder / "log").read_text()
    assert json.loads(server.flask("db", "check", "--json"))["faults"] == []


def test_dicom_folders_become_studies_once_however_often_they_are_read(server: Running) -> None:
    first = json.loads(server.flask("ingest", str(DICOMDIR), "--archive", "cedarholme-archive", "--json"))
    again = json.loads(server.flask("ingest", str(DICOMDIR), "--archive", "cedarholme-archive", "--json"))
    counts = ("patients", "studies", "series", "instances")
    for report in (first, again):
        assert [report[name] for name in counts] == [3, 7, 14, 81]
    assert again["unchanged"] == 7
    assert again["created"] == again["updated"] == 0


def test_the_landing_page_tells_the_story(server: Running) -> None:
    with urlopen(f"http://127.0.0.1:{server.port}/") as answer:
        page = answer.read().decode()
    assert "Hazel Demo" in page
    assert page.count("<pre") >= 3
