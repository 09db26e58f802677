"""No worker answers from before a change that was acknowledged: a bounded run of tests.properties.withdrawal."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.properties import withdrawal


def test_no_worker_shows_what_an_acknowledged_change_has_closed(database_url: str, tmp_path: Path) -> None:
    found = withdrawal.run(database_url, tmp_path, 300, workers=2)
    assert found.stale == ()
    assert found.checked >= 300
    assert found.changes >= 2 * len(withdrawal.CHANGES)


def test_the_run_notices_a_worker_that_answers_from_before(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A change that is announced and not made is what a stale cache looks like to the workers."""
    monkeypatch.setattr(withdrawal, "CHANGES", ((withdrawal.patient() | {"active": True}, withdrawal.patient()),))
    assert withdrawal.run(database_url, tmp_path, 20, workers=2).stale
