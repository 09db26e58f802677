"""Tests that could not fail show nothing: a few defences are taken out at every run, all of them by one command."""

from __future__ import annotations

import subprocess
import sys

from tests.security.attacks import ATTACKS, ROOT, marked
from tests.security.taken_out import DEFENCES

# Still to be built, or to be shown: each with the reason.
OPEN: dict[int, str] = {}


def test_each_attack_has_a_test_and_a_defence_that_can_be_taken_out() -> None:
    tests = marked()
    assert sorted(tests) == sorted(ATTACKS) == list(range(1, 85))
    defended = {attack for one in DEFENCES for attack in one.attacks}
    assert {number for number in ATTACKS if not tests[number] or number not in defended} == set(OPEN)
    for one in DEFENCES:
        for path, source in one.without():
            compile(source, str(path), "exec")


def test_without_its_defence_an_attack_succeeds_and_its_test_is_red() -> None:
    """The quick ones; all of them by `python -m tests.security.defences`."""
    command = [sys.executable, "-m", "tests.security.defences", "--quick", "--processes", "1"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 still green" in done.stdout
