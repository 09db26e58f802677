"""What a gate and the proxy let through of DICOMweb: GETs for one study, and nothing that could be read in two ways."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.archives.gate import STUDY_KEYS, Configuration, Wanted, bearer, wanted
from app.archives.upstream import replaced, showable

S, R, I = "1.2.3", "1.2.3.4", "1.2.3.4.5"  # noqa: E741
SERIES, INSTANCE = f"/studies/{S}/series/{R}", f"/studies/{S}/series/{R}/instances/{I}"


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (f"/studies/{S}", Wanted(S)),
        (f"/studies/{S}/metadata", Wanted(S)),
        (f"/studies/{S}/rendered", Wanted(S)),
        (f"/studies/{S}/thumbnail", Wanted(S)),
        (f"/studies/{S}/series", Wanted(S)),
        (f"/studies/{S}/instances", Wanted(S)),
        (SERIES, Wanted(S, R, None, "series")),
        (f"{SERIES}/metadata", Wanted(S, R, None, "series")),
        (f"{SERIES}/rendered", Wanted(S, R, None, "series")),
        (f"{SERIES}/instances", Wanted(S, R, None, "series")),
        (INSTANCE, Wanted(S, R, I, "instance")),
        (f"{INSTANCE}/metadata", Wanted(S, R, I, "instance")),
        (f"{INSTANCE}/rendered", Wanted(S, R, I, "instance")),
        (f"{INSTANCE}/frames/1", Wanted(S, R, I, "instance")),
        (f"{INSTANCE}/frames/1,2,30", Wanted(S, R, I, "instance")),
        (f"{INSTANCE}/frames/2/rendered", Wanted(S, R, I, "instance")),
        (f"{INSTANCE}/bulk/7fe00010", Wanted(S, R, I, "instance")),
        (f"{INSTANCE}/bulk/00480100/1/00480110", Wanted(S, R, I, "instance")),
    ],
)
def test_one_study_and_what_lies_below_it_can_be_asked_for(path: str, expected: Wanted) -> None:
    assert wanted(path, []) == expected
    assert wanted(path, [("StudyInstanceUID", S)]) == expected
    assert wanted(path, [("includefield", "all"), ("window", "40,400,linear")]) == expected


@pytest.mark.parametrize(
    "path",
    [
        "", "/", "/studies", "/studies/", f"/studies/{S}/", f"studies/{S}", f"/studies/{S}/anything", f"/studies/{S}\n",
        "/studies/*", "/studies/1.2.*", f"/studies/{S},{S}", f"/studies/{S}\\{S}", f"/studies/{S}%2f", "/studies/1..2",
        "/studies/.1", "/studies/1.", "/studies/abc", f"/studies/{'1' * 65}", f"/studies/{S}/../{R}", f"/studies//{S}",
        f"/studies/{S}/series/", f"/studies/{S}/series/{'1' * 65}", f"/studies/{S}/instances/{I}", f"{INSTANCE}/frames",
        f"{INSTANCE}/frames/", f"{INSTANCE}/frames/a", f"{INSTANCE}/frames/1,", f"{INSTANCE}/bulk", f"{INSTANCE}/bulk/../x",
        "/series", f"/series/{R}", "/instances", f"/instances/{I}", "/servers", "/info", "/STUDIES/1.2.3", "/studies/١.٢.٣",
    ],
)  # fmt: skip
def test_everything_else_is_refused(path: str) -> None:
    assert wanted(path, []) is None


@pytest.mark.parametrize("key", ["StudyInstanceUID", "0020000D"])
def test_a_search_names_one_study_by_either_of_its_names(key: str) -> None:
    assert wanted("/studies", [(key, S), ("limit", "10")]) == Wanted(S, level="search")


@pytest.mark.parametrize(
    "query",
    [
        [("limit", "10")],
        [("studyinstanceuid", S)],
        [("0020000d", S)],
        [("0020,000D", S)],
        [("StudyInstanceUID", "")],
        [("StudyInstanceUID", S), ("0020000D", R)],
        [("0020000D", R), ("StudyInstanceUID", S)],
        [("StudyInstanceUID", S), ("StudyInstanceUID", S)],
        [("StudyInstanceUID", S), ("0020000d", S)],
        [("StudyInstanceUID", f"{S},{R}")],
        [("StudyInstanceUID", f"{S}\\{R}")],
        [("StudyInstanceUID", f"{S}%5C{R}")],
        [("StudyInstanceUID", "1.2.*")],
        [("StudyInstanceUID", "*")],
        [("StudyInstanceUID", "1.2.?")],
        [("StudyInstanceUID", "%31.2.3")],
        [("StudyInstanceUID", f" {S}")],
        [("StudyInstanceUID", S), ("PatientID", "x")],
        [("StudyInstanceUID", S), ("0020,000D", R)],
        [("StudyInstanceUID", S), ("StudyInstanceUI%44", R)],
        [("StudyInstanceUID", S), ("00081140.0020000D", R)],
        [("StudyInstanceUID", S), ("SeriesInstanceUID", R)],
        [("StudyInstanceUID", S), ("", "")],
        [("StudyInstanceUID", S), ("limit", "")],
        [("StudyInstanceUID", S), ("limit", "1\r\nX: y")],
        [("StudyInstanceUID", S), ("limit", "1" * 513)],
    ],
)
def test_a_search_that_names_none_or_two_or_could_be_read_otherwise_is_refused(query: list[tuple[str, str]]) -> None:
    assert wanted("/studies", query) is None


def test_a_query_cannot_name_another_study_than_the_path() -> None:
    for path in (f"/studies/{S}", f"/studies/{S}/series", INSTANCE):
        for key in ("StudyInstanceUID", "0020000D"):
            assert wanted(path, [(key, R)]) is None


NAMES = st.sampled_from(["StudyInstanceUID", "0020000D", "0020000d", "limit", "includefield", "PatientID", "x"])
VALUES = st.sampled_from([S, R, "", "*", f"{S}\\{R}", f"{S},{R}", "10", "all"])


@given(st.lists(st.tuples(NAMES, VALUES), max_size=5), st.sampled_from(["/studies", f"/studies/{S}", INSTANCE]))
def test_whatever_is_let_through_names_exactly_one_study(query: list[tuple[str, str]], path: str) -> None:
    found = wanted(path, query)
    if found is not None:
        named = {value for key, value in query if key in STUDY_KEYS}
        assert named <= {found.study} and found.study in (S, R, "10")
        assert path == "/studies" or found.study == S


@given(st.text(max_size=80))
def test_no_text_is_let_through_by_chance(text: str) -> None:
    found = wanted(text, [])
    assert found is None or text.startswith(f"/studies/{found.study}")


@pytest.mark.parametrize(
    ("header", "token"),
    [
        ("Bearer abc", "abc"), ("bearer  abc ", "abc"), ("Basic abc", ""), ("Bearer", ""), ("Bearer a b", ""), (None, ""),
        ("Bearer a\r\nb", ""), ("Bearer é", ""), ("Bearer " + "x" * 8193, ""),
    ],
)  # fmt: skip
def test_a_token_is_read_from_one_header_in_one_form(header: str | None, token: str) -> None:
    assert bearer(header) == token


@given(st.binary(max_size=300), st.integers(1, 40), st.sampled_from([b"http://a/x", b"aab", b"abab", b"ab"]))
def test_a_text_is_replaced_wherever_the_pieces_are_cut(data: bytes, size: int, old: bytes) -> None:
    for whole in (data, data + old + data, old * 3 + b"aab"):
        pieces = iter([whole[at : at + size] for at in range(0, len(whole), size)])
        assert b"".join(replaced(pieces, old, b"<>")) == whole.replace(old, b"<>")


def test_only_images_and_what_describes_them_are_shown() -> None:
    shown = ["image/jpeg", "image/png", "image/jp2", "video/mp4", "multipart/related", "application/dicom+json"]
    assert all(showable(one) for one in shown)
    assert not any(
        showable(one) for one in ("text/html", "image/svg+xml", "application/xhtml+xml", "text/javascript", "")
    )


def test_the_configuration_is_orthancs_own_or_the_environments(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("s3cret\n")
    section = {
        "Registry": "https://registry.example/",
        "Client": "gate-1",
        "SecretFile": str(secret),
        "FlushKey": "00ff",
    }
    made = Configuration.of({"RegistryGate": section, "DicomWeb": {"Root": "/images/"}}, {})
    assert made == Configuration("https://registry.example", "gate-1", "s3cret", b"\x00\xff", "/images")
    told = {"REGISTRY_GATE_REGISTRY": "http://127.0.0.1:1", "REGISTRY_GATE_CLIENT": "g", "REGISTRY_GATE_SECRET": "x"}
    assert Configuration.of({}, told) == Configuration("http://127.0.0.1:1", "g", "x")


@pytest.mark.parametrize("missing", ["Registry", "Client", "Secret"])
def test_a_gate_without_its_configuration_does_not_start(missing: str) -> None:
    whole = {"Registry": "https://registry.example", "Client": "gate-1", "Secret": "x"}
    with pytest.raises(ValueError, match=missing):
        Configuration.of(json.loads(json.dumps({"RegistryGate": whole | {missing: ""}})), {})
