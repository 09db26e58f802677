"""The security page, the marks of the tests and the defences that can be taken out are one list of attacks."""

from __future__ import annotations

from tests.security.attacks import ATTACKS, marked
from tests.security.taken_out import DEFENCES
from tests.support.attack_table import PAGE, renewed


def test_the_table_of_attacks_is_as_the_marks_make_it() -> None:
    """`python -m tests.support.attack_table --write` renews it."""
    assert PAGE.read_text() == renewed(PAGE.read_text())


def test_each_attack_has_a_test_and_a_defence_that_can_be_taken_out() -> None:
    tests = marked()
    assert sorted(tests) == sorted(ATTACKS) == list(range(1, 85))
    assert [number for number in ATTACKS if not tests[number]] == []
    defended = {attack for one in DEFENCES for attack in one.attacks}
    assert defended == set(ATTACKS)
    for one in DEFENCES:
        for path, source in one.without():
            compile(source, str(path), "exec")
