"""Bad days, in a bounded form: what was acknowledged is there, with its record, and the service goes on by itself."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults import clock, database, disk, kills, subscriber
from tests.support.parts import requires


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_killed_processes_lose_no_acknowledged_write(
    kind: str, fresh_database: Callable[[str], str], tmp_path: Path
) -> None:
    found = kills.run(fresh_database(kind), tmp_path, 100)
    assert found.broken == [], found.counters


@requires("postgresql")
def test_a_database_that_goes_and_comes_back_is_waited_for(tmp_path: Path) -> None:
    found = database.run("", tmp_path, 2)
    assert found.broken == [], found.counters


@pytest.mark.skipif(os.getuid() != 0, reason="only root makes a small disk")
def test_a_full_disk_refuses_writes_and_corrupts_nothing(tmp_path: Path) -> None:
    found = disk.run("", tmp_path, 12)
    assert found.broken == [], found.counters


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_a_clock_that_jumps_disorders_nothing(kind: str, fresh_database: Callable[[str], str], tmp_path: Path) -> None:
    found = clock.run(fresh_database(kind), tmp_path, 60)
    assert found.broken == [], found.counters


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_a_hostile_subscriber_keeps_no_other_waiting(
    kind: str, fresh_database: Callable[[str], str], tmp_path: Path
) -> None:
    found = subscriber.run(fresh_database(kind), tmp_path, 20)
    assert found.broken == [], found.counters
