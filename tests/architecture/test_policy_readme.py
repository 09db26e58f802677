"""What privacy officers read of the decision is what the code does."""

from __future__ import annotations

import re

from app.policy.duty import ASKS
from app.policy.reason import meaning
from app.policy.rules import RULES
from app.policy.switches import CHOICES
from tests.cases.world import cases
from tests.support import policy_readme

TEXT = policy_readme.README.read_text()


def test_the_tables_are_as_the_code_makes_them() -> None:
    assert policy_readme.renewed(TEXT) == TEXT, "run `python -m tests.support.policy_readme --write`"


def test_each_step_and_each_choice_that_is_told_is_one_of_the_code_and_none_is_left_out() -> None:
    steps = {clause for rule in RULES for clause in re.findall(r"4\.\d+", rule.clause)}
    told = set(re.findall(r"^\d+\. \*\*(4\.\d+)", TEXT, re.M))
    assert steps <= told == {f"4.{number}" for number in range(1, 14)}
    assert {one.id for one in CHOICES.values()} <= set(re.findall(r"\bP\d+\b", TEXT))


def test_each_reason_of_the_decision_table_has_a_meaning() -> None:
    for case in cases():
        assert meaning(case.expected.reason) != "not a known reason", case.expected.reason
        for obligation in case.expected.obligations:
            assert obligation in ASKS or obligation.startswith(("NOTIFY_", "REDACT:")), obligation
