"""A condition over a study means the same to Python and to SQL, true, false and unknown alike, on both databases."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from app.fhir.registry import TYPES
from app.policy.model import Study
from app.policy.predicate import (
    And,
    AnyOf,
    Const,
    Definitely,
    Expr,
    Is,
    Not,
    Or,
    Origin,
    Possibly,
    Started,
    Status,
    evaluate,
)
from app.storage.engine import Store
from app.storage.keys import STATED_KINDS, facts_column
from app.storage.predicate import condition
from tests.properties.test_predicate_agrees import world_store  # noqa: F401

values = st.frozensets(st.sampled_from(["CT", "MR", "a|b", "R"]), min_size=1, max_size=2)
orgs = st.frozensets(st.sampled_from(["ods:A", "ods:B"]), min_size=1)
instants = st.integers(0, 5)

leaves: st.SearchStrategy[Expr] = st.one_of(
    st.builds(Const, st.sampled_from([True, False, None])),
    st.builds(AnyOf, st.sampled_from(STATED_KINDS), values),
    st.builds(Started, st.none() | instants, st.none() | instants),
    st.builds(Origin, orgs),
    st.builds(Is, st.frozensets(st.sampled_from(["ImagingStudy/x", "ImagingStudy/y"]), min_size=1)),
    st.builds(Status, st.frozensets(st.sampled_from(["available", "cancelled"]), min_size=1)),
)
expressions = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.builds(And, st.lists(inner, max_size=3).map(tuple)),
        st.builds(Or, st.lists(inner, max_size=3).map(tuple)),
        st.builds(Not, inner),
        st.builds(Possibly, inner),
        st.builds(Definitely, inner),
    ),
    max_leaves=6,
)
studies = st.builds(
    Study,
    ref=st.sampled_from(["ImagingStudy/x", "ImagingStudy/z"]),
    patient=st.none(),
    origins=st.frozensets(st.sampled_from(["ods:A", "ods:C"])),
    status=st.sampled_from(["available", "entered-in-error"]),
    started=st.none() | st.tuples(instants, instants).map(lambda two: (min(two), max(two) + 1)),
    facts=st.dictionaries(
        st.sampled_from(STATED_KINDS), st.frozensets(st.sampled_from(["CT", "a|b", "x"]), max_size=2)
    ),
)


@settings(max_examples=400)
@given(expressions, studies)
def test_a_condition_is_true_false_or_unknown_in_sql_as_in_python(
    world_store: Store,  # noqa: F811
    expression: Expr,
    study: Study,
) -> None:
    low, high = study.started or (None, None)
    row = "SELECT CAST(? AS BIGINT) AS low, CAST(? AS BIGINT) AS high, CAST(? AS TEXT) AS facts, CAST(? AS TEXT) AS status, "
    row += "CAST(? AS INTEGER) AS type, CAST(? AS TEXT) AS id"
    with world_store.begin(reads=True) as tx:
        made = condition(expression, "r", tx)
        found = tx.rows(
            f"SELECT ({made.text}) FROM ({row}) r",
            *made.params,
            low,
            high,
            facts_column(study),
            study.status,
            TYPES["ImagingStudy"].code,
            study.ref.split("/")[1],
        )[0][0]
    expected = evaluate(expression, study)
    assert (None if found is None else bool(found)) == expected
