"""Person names in every character set (PS3.5 section 6.2.1), from the real files of `charset_files`."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydicom.filereader import dcmread
from pydicom.valuerep import PersonName

from app.ingest import names


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        ("chrArab.dcm", "لنزار قباني"),
        ("chrFren.dcm", "Jérôme Buc"),
        ("chrGerm.dcm", "Rüdiger Äneas"),
        ("chrGreek.dcm", "Διονυσιος"),
        ("chrH31.dcm", "Tarou Yamada"),
        ("chrH32.dcm", "ﾀﾛｳ ﾔﾏﾀﾞ"),
        ("chrHbrw.dcm", "דבורה שרון"),
        ("chrI2.dcm", "Gildong Hong"),
        ("chrRuss.dcm", "Люкceмбypг"),
        ("chrX1.dcm", "XiaoDong Wang"),
        ("chrX2.dcm", "XiaoDong Wang"),
        ("chrJapMulti.dcm", "たろう やまだ"),
        ("chrKoreanMulti.dcm", "김희중"),
    ],
)
def test_a_name_is_shown_as_it_is_said_in_every_character_set(charset_files: Path, file: str, expected: str) -> None:
    assert names.display(dcmread(charset_files / file).PatientName) == expected


def test_a_name_written_three_ways_is_three_names_with_their_representations(charset_files: Path) -> None:
    found = names.human_names(dcmread(charset_files / "chrH31.dcm").PatientName)
    assert [name["family"] for name in found] == ["Yamada", "山田", "やまだ"]
    assert [name["extension"][0]["valueCode"] for name in found] == ["ABC", "IDE", "SYL"]


def test_all_five_components_have_their_place() -> None:
    (found,) = names.human_names(PersonName("Adams^John Robert^Quincy^Rev.^B.A. M.Div."))
    assert found == {
        "family": "Adams", "given": ["John Robert", "Quincy"], "prefix": ["Rev."], "suffix": ["B.A. M.Div."],
    }  # fmt: skip
    assert names.display(PersonName("Adams^John^Quincy^Rev.^B.A.")) == "Rev. John Quincy Adams B.A."


@pytest.mark.parametrize("value", ["", "^^^^", "==", " ^ ", "\x00"])
def test_a_name_with_nothing_in_it_is_none(value: str) -> None:
    assert names.display(PersonName(value)) is None
    assert names.human_names(PersonName(value)) == []


def test_more_components_than_there_are_do_no_harm() -> None:
    assert names.display("A^B^C^D^E^F^G=x=y=z") == "D B C A E"
