"""`make run` as a process: it starts fast, stops cleanly, survives what is killed beneath it, and refuses what is unsafe."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.request import Request, urlopen

import pytest

from app.demo import story
from tests.support.server import ROOT, Running

Start = Callable[..., Running]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Start]:
    """Makes servers, all on the same database, and stops them at the end."""
    made: list[Running] = []

    def make(**settings: str) -> Running:
        made.append(Running(tmp_path, **settings))
        return made[-1]

    yield make
    for one in made:
        one.close()


def descendants(pid: int) -> list[int]:
    """Every process under `pid`, nearest first."""
    found = subprocess.run(["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True).stdout.split()
    return [int(one) for one in found] + [two for one in found for two in descendants(int(one))]


def gone(pids: list[int], seconds: float = 15) -> bool:
    until = time.monotonic() + seconds
    while any(Path(f"/proc/{pid}/cmdline").exists() and Path(f"/proc/{pid}/cmdline").read_bytes() for pid in pids):
        if time.monotonic() > until:
            return False
        time.sleep(0.05)
    return True


def eventually(holds: Callable[[], bool], seconds: float = 30) -> bool:
    until = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > until:
            return False
        time.sleep(0.05)
    return True


@pytest.mark.requirement("interface: ready in < 5 s; Ctrl-C stops it cleanly; a second start keeps the data")
def test_it_becomes_ready_and_ctrl_c_leaves_nothing_behind(server: Start) -> None:
    running = server()
    for _ in range(2):
        running.start()  # how fast, the figure start-up of the benchmarks says
        assert running.process is not None
        running.says("Ctrl-C stops it")
        below = descendants(running.process.pid)
        assert below
        assert running.stop() == 0
        assert gone(below)
    assert "Traceback" not in running.said()
    assert running.said().count('"event": "demo_loaded"') == 1


def test_a_terminate_signal_stops_it_as_well(server: Start) -> None:
    running = server()
    running.start()
    assert running.stop(signal.SIGTERM) == 0
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("127.0.0.1", running.port))


def test_a_web_server_that_is_killed_comes_back_with_what_was_acknowledged(server: Start) -> None:
    running = server()
    running.start()
    assert running.process is not None
    token = running.flask("token", "--client", story.STEWARD).strip()
    organisation = {"resourceType": "Organization", "id": "kept", "name": "Kept", "active": True}
    put = Request(
        f"{running.address}/fhir/Organization/kept",
        data=json.dumps(organisation).encode(),
        headers={"Authorization": f"Bearer {token}", "Content-Type": "application/fhir+json"},
        method="PUT",
    )
    with urlopen(put) as answer:
        assert answer.status == 201
    below = descendants(running.process.pid)
    for pid in below:
        os.kill(pid, signal.SIGKILL)
    assert gone(below)
    assert eventually(running.ready)
    get = Request(put.full_url, headers={"Authorization": f"Bearer {token}"})
    with urlopen(get) as answer:
        assert json.load(answer)["name"] == "Kept"
    running.says('"event": "process_ended"')


def test_nothing_outlives_the_process_that_was_started(server: Start) -> None:
    running = server()
    running.start()
    process, running.process = running.process, None
    assert process is not None
    below = descendants(process.pid)
    process.kill()
    process.wait()
    assert gone(below)


def test_a_port_that_is_taken_is_said_in_words(server: Start) -> None:
    running = server()
    with socket.create_server(("127.0.0.1", running.port)):
        process, running.process = running.spawn(), None
        assert process.wait(timeout=30) == 2
    assert f"port {running.port} is taken; expected a free one" in running.said()


def test_production_serves_only_when_it_is_safe_and_has_somebody_to_trust(server: Start, tmp_path: Path) -> None:
    safe = {
        "REGISTRY_MODE": "production",
        "REGISTRY_BASE_URL": "https://registry.example/fhir",
        "REGISTRY_NOTIFY": "off",
    }
    unsafe = server(REGISTRY_MODE="production")
    process, unsafe.process = unsafe.spawn(), None
    assert process.wait(timeout=30) == 2
    assert "REGISTRY_BASE_URL is not https" in unsafe.said() and "REGISTRY_NOTIFY_ALLOW is empty" in unsafe.said()

    alone = server(**safe)
    process, alone.process = alone.spawn(), None
    assert process.wait(timeout=30) == 2
    assert "nobody could get in" in alone.said()

    trusted = server(**safe)
    trusted.flask("client", "add", "EPR", "--org", "RXB", "--kind", "backend", "--scope", "system/ImagingStudy.rs")
    trusted.start()
    with urlopen(f"{trusted.address}/") as answer:
        page = answer.read().decode()
    assert story.STORY_NHS_NUMBER not in page and "demo" not in page.lower()
    with pytest.raises(AssertionError, match="demo mode only"):
        trusted.flask("token", "--client", "EPR")


def test_production_does_not_serve_on_the_demos_database(server: Start, tmp_path: Path) -> None:
    demo = server()
    demo.start()
    assert demo.stop() == 0
    production = server(
        REGISTRY_MODE="production",
        REGISTRY_BASE_URL="https://registry.example/fhir",
        REGISTRY_NOTIFY="off",
        REGISTRY_KEYS_DIR=f"{tmp_path}/production-keys",
    )
    process, production.process = production.spawn(), None
    assert process.wait(timeout=30) == 2
    assert "the database holds clients of the demo region" in production.said()


def test_without_demo_data_it_starts_on_an_empty_database(server: Start) -> None:
    running = server(REGISTRY_DEMO_DATA="0")
    running.start()
    assert json.loads(running.flask("client", "list", "--json")) == []
    running.says("Ctrl-C stops it")
    assert "curl" not in running.said()


def test_make_run_is_all_of_this(tmp_path: Path) -> None:
    running = Running(tmp_path, command=("make", "--no-print-directory", "run"))
    running.start()
    running.says("Ctrl-C stops it")
    assert running.process is not None
    below = descendants(running.process.pid)
    running.stop()
    assert gone(below)
    assert '"event": "server_stopped"' in running.said()
    assert (ROOT / ".venv").is_dir()
