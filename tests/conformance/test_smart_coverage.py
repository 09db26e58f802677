"""The list of what SMART App Launch 2.2 asks of a server: each is tested, not applicable with a reason, or open, and the
table that says so is made from the marks. https://hl7.org/fhir/smart-app-launch/STU2.2/"""

from __future__ import annotations

from tests.support import smart_requirements as smart


def test_the_table_of_coverage_is_as_the_marks_make_it() -> None:
    advice = "run `python -m tests.support.smart_requirements --write`"
    assert smart.TABLE.read_text() == smart.table(), advice


def test_every_mark_names_a_requirement_that_is_on_the_list() -> None:
    named = {int(text.removeprefix("SMART ")) for text, _, _ in smart.marked() if text.startswith("SMART ")}
    assert named <= smart.REQUIREMENTS.keys()


def test_what_is_not_applicable_or_open_is_not_marked_as_tested() -> None:
    set_aside = {n for reasons in (smart.NOT_APPLICABLE, smart.OPEN) for numbers in reasons.values() for n in numbers}
    marked = {int(text.removeprefix("SMART ")) for text, _, _ in smart.marked() if text.startswith("SMART ")}
    assert set_aside <= smart.REQUIREMENTS.keys()
    assert not set_aside & marked
