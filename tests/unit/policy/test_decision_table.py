"""The decision table, row by row: effect, deciding reason, obligations and lifetime, and the residual that says the same."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest

from app.policy.decide import decide, residual
from app.policy.explain import explain
from app.policy.model import EmergencyGrant, Request
from app.policy.predicate import evaluate
from app.policy.rules import RULES
from app.policy.switches import load
from tests.cases.gather import Register, requester
from tests.cases.world import Case, cases

SECOND = 1_000_000
FOLDER = Path(__file__).parents[2] / "cases"


@pytest.mark.parametrize("case", cases(), ids=lambda case: f"{case.id} {case.title}")
def test_each_row_is_decided_as_the_table_says(case: Case) -> None:
    world = case.world()
    register = Register(world.resources)
    switches = load("\n".join(f"{name} = {json.dumps(value)}" for name, value in world.switches.items()))
    person = register.person(world.patient, [EmergencyGrant(**one) for one in world.grants])
    request = Request(requester(register, world.requester), world.purpose, world.action, world.patient)
    study = register.study(world.study)

    decision = decide(request, person, study, switches, world.at)

    expected = case.expected
    assert (decision.effect, decision.reasons[0]) == (expected.effect, expected.reason)
    assert set(decision.obligations) == {"AUDIT", *expected.obligations}
    if expected.lifetime is not None:
        assert decision.expires == world.at + expected.lifetime * SECOND
        assert decision.basis
    left = residual(Request(request.requester, world.purpose, world.action), person, switches, world.at)
    if decision.reasons[0] != "PATIENT_MISMATCH":
        assert (evaluate(left.permit, study) is True) == decision.permitted
        assert left.decision(study) == decision
    steps = explain(request, person, study, switches, world.at)
    assert [step.number for step in steps] == [rule.number for rule in RULES]
    deciding = [step for step in steps if step.verdict in ("permits", "refuses", "redacts")]
    assert len(deciding) == 1
    assert deciding[0].reasons == decision.reasons


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*-*.json")), ids=lambda path: path.name)
def test_the_cases_are_written_as_their_schema_says(path: Path) -> None:
    schema = json.loads((FOLDER / "case.schema.json").read_text())
    jsonschema.validate(json.loads(path.read_text()), schema)


def test_no_row_stands_twice_and_the_whole_table_is_there() -> None:
    ids = [case.id for case in cases()]
    assert len(ids) == len(set(ids)) >= 89
