"""Whatever is asked, a search is understood or refused in words: no other exception, and no value shown again."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from app.fhir.outcome import Fault
from app.fhir.query import Query
from app.fhir.registry import TYPES
from app.fhir.search import parse
from app.fhir.search_results import MAX_COUNT
from tests.properties.search_strategies import BASE, clauses

NOW = 1_773_000_000_000_000

NAMES = st.sampled_from(
    [
        *sorted({name for row in TYPES.values() for name in row.params}),
        "_has:ImagingStudy:patient",
        "_has",
        "_include",
        "_revinclude",
        "_sort",
        "_count",
        "_total",
        "_summary",
        "_elements",
        *("_cursor", "_format", "_text", "_include:iterate", "", ".", ":", "::", "a.b.c.d.e", "patient"),
        "subject:Patient",
    ]
)
PARTS = st.lists(NAMES | st.text(max_size=8), min_size=1, max_size=4)
KEYS = st.builds(lambda parts, mark: mark.join(parts), PARTS, st.sampled_from([".", ":", ""]))
VALUES = st.text(max_size=40) | st.lists(
    st.sampled_from(
        ["ImagingStudy", ":", "*", "endpoint", "|", ",", "\\", "ge", "2026", "-", "1", "urn:oid:", ".", "Patient/"]
    ),
    max_size=6,
).map("".join)


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from(sorted(TYPES)) | st.text(max_size=5), st.lists(st.tuples(KEYS, VALUES), max_size=4), st.booleans()
)
def test_nothing_but_a_fault_is_raised(kind: str, params: list[tuple[str, str]], lenient: bool) -> None:
    try:
        query = parse(kind, params, lenient=lenient, base_url=BASE, at=NOW)
    except Fault as fault:
        assert fault.kind == "invalid"
        assert all(issue.text == issue.text.strip() and issue.text for issue in fault.issues)
    else:
        assert isinstance(query, Query)
        assert 0 <= query.count <= MAX_COUNT


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_what_was_understood_is_understood_again(data: st.DataObject) -> None:
    """The self link of a page asks for that page."""
    kind = data.draw(st.sampled_from(sorted(TYPES)))
    params = data.draw(st.lists(clauses(kind), max_size=3))
    query = parse(kind, params, lenient=True, base_url=BASE, at=NOW, valuesets={"http://values": [("http://s", "a")]})
    again = parse(kind, query.applied, base_url=BASE, at=NOW, valuesets={"http://values": [("http://s", "a")]})
    assert again.where == query.where
    assert again.ignored == ()
