"""Tests that could not fail show nothing: a few defences are taken out at every run, all of them by one command."""

from __future__ import annotations

import subprocess
import sys

from tests.security.attacks import ROOT


def test_without_its_defence_an_attack_succeeds_and_its_test_is_red() -> None:
    """The quick ones; all of them by `python -m tests.security.defences`."""
    command = [sys.executable, "-m", "tests.security.defences", "--quick", "--processes", "1"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 still green" in done.stdout
