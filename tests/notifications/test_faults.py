"""Killed processes lose no event: a bounded run of tests.notifications.faults on both databases."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.notifications import faults


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_every_version_is_told_though_the_processes_are_killed(
    kind: str, fresh_database: Callable[[str], str], tmp_path: Path
) -> None:
    found = faults.run(fresh_database(kind), tmp_path, 100, 0.5)
    assert (found.lost, found.unordered) == ((), 0)
    assert found.received == found.written >= 100
    assert found.kills >= faults.LEAST_KILLS
