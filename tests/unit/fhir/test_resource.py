"""Reading and writing resources, https://hl7.org/fhir/R4/json.html, and references in them."""

from __future__ import annotations

import copy
import json
import pickle
from decimal import Decimal
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.fhir.lossless import Exponent, depth, number, number_text
from app.fhir.outcome import Fault
from app.fhir.resource import (
    conditional_reference,
    dump,
    parse,
    pick,
    references,
    referring,
    rewrite,
    summarise,
    without,
)


def fault_of(body: bytes, **limits: int) -> Fault:
    with pytest.raises(Fault) as caught:
        parse(body, **limits)
    return caught.value


@pytest.mark.parametrize(
    "text",
    [
        "1.10",
        "0.00",
        "-0",
        "-0.0",
        "1e3",
        "1.50E+02",
        "1E-7",
        "0.0000001",
        "12345678901234567890123456789",
        "9223372036854775808",
        "1.000000000000000000000000001",
        "7",
        "-12",
    ],
)
def test_a_number_comes_back_as_it_was_written(text: str) -> None:
    body = b'{"resourceType":"Basic","n":%s,"m":[%s],"o":["",%s]}' % ((text.encode(),) * 3)
    assert dump(parse(body)) == body
    assert repr(parse(body)) == repr(parse(b" " + body.replace(b",", b", ")))


def test_numbers_are_plain_integers_and_decimals() -> None:
    read = parse(b'{"resourceType":"Basic","a":7,"b":1.10,"c":1e3}')
    assert type(read["a"]) is int
    assert type(read["b"]) is Decimal and read["b"] == Decimal("1.1")
    assert isinstance(read["c"], Decimal) and read["c"] == 1000


def test_a_number_keeps_its_text_when_copied_and_pickled() -> None:
    one = Exponent("1.50e2")
    for other in (copy.copy(one), copy.deepcopy([one])[0], pickle.loads(pickle.dumps(one))):
        assert number_text(other) == "1.50e2"


def test_order_and_unicode_are_kept_and_spaces_are_not() -> None:
    body = '\ufeff { "resourceType" : "Patient",\n "z": ["é", "\\u00e9", "😀", "\\ud83d\\ude00"], "a": {} }'.encode()
    assert dump(parse(body)) == '{"resourceType":"Patient","z":["é","é","😀","😀"],"a":{}}'.encode()


@pytest.mark.parametrize(
    ("body", "text", "place"),
    [
        (b"", "no content; expected JSON", None),
        (b" \n", "no content; expected JSON", None),
        (b"{", "not JSON at line 1, column 2; expected a property name in double quotes", None),
        (b'{"a":\n tru}', "not JSON at line 2, column 2; expected a value", None),
        (b'{"a" 1}', "not JSON at line 1, column 6; expected a colon after the property name", None),
        (b'{"a":1 "b"}', "not JSON at line 1, column 8; expected a comma, or the end of the object or array", None),
        (b'{"a":"b}', "not JSON at line 1, column 6; expected the end of the string", None),
        (b'{"a":"\n"}', "not JSON at line 1, column 7; expected control characters in a string to be escaped", None),
        (b'{"a":"\\x"}', "not JSON at line 1, column 7; expected a valid escape in the string", None),
        (b"{} {}", "not JSON at line 1, column 4; expected nothing after the end", None),
        (b'{"a":"\xff"}', "not UTF-8 at byte 6; expected JSON in UTF-8", None),
        (b'{"a":"\xed\xa0\x80"}', "not UTF-8 at byte 6; expected JSON in UTF-8", None),
        (b'{"a":NaN}', "NaN or Infinity in place of a number; expected JSON", None),
        (b'{"a":-Infinity}', "NaN or Infinity in place of a number; expected JSON", None),
        (b'{"a":1e401}', "a number has an exponent that is out of range; expected at most 400", None),
        (b'{"a":1e99999999999}', "a number has an exponent that is out of range; expected at most 400", None),
        (b'{"a":%s}' % (b"9" * 1001), "a number has more than 1000 characters; expected fewer", None),
        (b"[]", "not a JSON object; expected a resource", None),
        (b"null", "not a JSON object; expected a resource", None),
        (b"{}", "no resourceType; expected the name of a resource type", "resourceType"),
        (
            b'{"resourceType":7}',
            "a resourceType that is no name of a type; expected the name of a resource type",
            "resourceType",
        ),
        (
            b'{"resourceType":"Patient","name":[{},{"given":["a"],"given":["b"]}]}',
            'the property "given" is given twice; expected it once',
            "Patient.name[1]",
        ),
        (b'{"a b":1,"a b":2}', "the property (not a name) is given twice; expected it once", None),
        (
            b'{"resourceType":"Patient","name":[{"text":"a\\u0000"}]}',
            "text holds a NUL character; expected Unicode text",
            "Patient.name[0].text",
        ),
        (
            b'{"resourceType":"Patient","name":[{"text":"\\ud800"}]}',
            "text holds half of a surrogate pair; expected Unicode text",
            "Patient.name[0].text",
        ),
        (b'{"\\udc00":1}', "text holds half of a surrogate pair; expected Unicode text", None),
    ],
)
def test_what_is_not_a_resource_is_refused_with_its_place(body: bytes, text: str, place: str | None) -> None:
    fault = fault_of(body)
    assert (fault.kind, fault.text, fault.expression) == ("structure", text, place)


def nested(levels: int) -> bytes:
    return b'{"resourceType":"Basic","a":' + b"[" * (levels - 1) + b"]" * (levels - 1) + b"}"


@pytest.mark.attack(76)
def test_sixty_four_levels_are_read_and_one_more_is_too_costly() -> None:
    assert depth(parse(nested(64))) == 64
    fault = fault_of(nested(65))
    assert (fault.kind, fault.text) == ("too-costly", "nested too deep; expected at most 64 levels")
    assert fault_of(b"[" * 1_000_000).kind == "too-costly"
    assert fault_of(b'{"a":' * 200_000).kind == "too-costly"


def test_brackets_inside_text_are_not_levels() -> None:
    body = b'{"resourceType":"Basic","a":"%s \\" %s"}' % (b"[" * 500, b"{" * 500)
    assert dump(parse(body)) == body


def test_content_larger_than_allowed_is_too_costly() -> None:
    fault = fault_of(b'{"resourceType":"Basic"}', max_bytes=20)
    assert (fault.kind, fault.text) == ("too-costly", "the content has 24 bytes; expected at most 20")


@pytest.mark.parametrize("value", [object(), float, {1: 2}, {"a": {1, 2}}, "\ud800", Decimal("NaN"), 2**70])
def test_what_json_cannot_hold_is_a_fault_and_not_an_error(value: Any) -> None:
    with pytest.raises(Fault, match="cannot hold"):
        dump(value)


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=60) | st.text(max_size=40).map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_any_bytes_give_a_resource_or_a_fault(body: bytes) -> None:
    for wrapped in (
        body,
        b'{"resourceType":"Basic","a":' + body + b"}",
        b'{"resourceType":"Basic","a":"' + body + b'"}',
    ):
        try:
            dump(parse(wrapped))
        except Fault as fault:
            assert fault.status in (400, 413)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**25), 10**25)
    | st.text(st.characters(codec="utf-8", exclude_characters="\0")),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab_é", min_size=1), inner, max_size=3),
    max_leaves=12,
)


@settings(max_examples=60, deadline=None)
@given(JSON)
def test_parsing_and_dumping_agree_with_the_standard_library(value: Any) -> None:
    body = json.dumps({"resourceType": "Basic", "a": value}, ensure_ascii=False, separators=(",", ":")).encode()
    assert json.loads(dump(parse(body))) == json.loads(body)
    assert dump(parse(dump(parse(body)))) == dump(parse(body))
    spaced = json.dumps(json.loads(body), ensure_ascii=False, indent=1).encode()
    assert repr(parse(spaced)) == repr(parse(body))


@settings(max_examples=60, deadline=None)
@given(st.from_regex(r"-?(0|[1-9][0-9]{0,30})(\.[0-9]{1,30})?([eE][+-]?[0-9]{1,2})?", fullmatch=True))
def test_every_number_that_json_can_write_comes_back_as_it_was_written(text: str) -> None:
    text = text.strip()
    read = number(text)
    assert read is not None
    assert number_text(read) == text


@pytest.mark.parametrize("text", ["", "+1", ".5", "1.", "01", "1e", "NaN", "1 ", "٣", "1e999", "1" * 1001])
def test_what_json_does_not_call_a_number_is_none(text: str) -> None:
    assert number(text) is None


STUDY: dict[str, Any] = {
    "resourceType": "ImagingStudy",
    "id": "s1",
    "meta": {"versionId": "1"},
    "text": {"status": "generated", "div": "<div/>"},
    "identifier": [
        {"system": "urn:dicom:uid", "value": "urn:oid:1.2.3"},
        {"system": "https://example.org/accession", "value": "A1"},
    ],
    "status": "available",
    "subject": {"reference": "Patient/p1"},
    "endpoint": [{"reference": "Endpoint/e1"}],
    "description": "Chest",
    "_description": {"id": "d"},
    "series": [
        {
            "uid": "1.2.3.4",
            "modality": {"system": "http://dicom.nema.org/resources/ontology/DCM", "code": "CT"},
            "endpoint": [{"reference": "Endpoint/e2"}],
            "extension": [{"url": "https://example.org/x", "valueDecimal": Decimal("1.10")}],
            "instance": [{"uid": "1.2.3.4.5", "sopClass": {"system": "urn:ietf:rfc:3986", "code": "urn:oid:1.2"}}],
        }
    ],
}
CONTENT = dump(STUDY)
TAG = {"system": "http://terminology.hl7.org/CodeSystem/v3-ObservationValue", "code": "SUBSETTED"}


def test_redaction_takes_elements_at_every_depth_and_marks_what_is_left() -> None:
    left = orjson.loads(without(CONTENT, ("endpoint", "series.endpoint", "description")))
    assert "endpoint" not in left and "endpoint" not in left["series"][0]
    assert "description" not in left and "_description" not in left
    assert left["meta"] == {"versionId": "1", "tag": [TAG]}
    assert b"1.10" in without(CONTENT, ("endpoint",))


def test_redaction_of_what_is_not_there_leaves_the_bytes_alone() -> None:
    assert without(CONTENT, ("note", "series.note", "identifier[system=urn:x]", "status.x")) is CONTENT


def test_redaction_may_choose_among_the_entries_of_a_list() -> None:
    left = orjson.loads(without(CONTENT, ("identifier[system=urn:dicom:uid]",), tag=False))
    assert left["identifier"] == [{"system": "https://example.org/accession", "value": "A1"}]
    assert "tag" not in left["meta"]


def test_redaction_leaves_no_empty_list_or_object() -> None:
    content = dump({"resourceType": "ImagingStudy", "series": [{"uid": "1"}], "subject": {"reference": "Patient/1"}})
    assert orjson.loads(without(content, ("series.uid", "subject.reference"), tag=False)) == {
        "resourceType": "ImagingStudy"
    }


def test_elements_keep_the_mandatory_ones_and_are_marked() -> None:
    left = orjson.loads(pick(CONTENT, ("description",)))
    assert list(left) == ["resourceType", "id", "meta", "status", "subject", "description", "_description"]
    assert left["meta"]["tag"] == [TAG]


def test_elements_name_a_choice_with_its_type_or_without() -> None:
    content = dump({"resourceType": "Patient", "id": "p", "deceasedBoolean": True, "active": True})
    for name in ("deceased", "deceasedBoolean"):
        assert orjson.loads(pick(content, (name,))) == {
            "resourceType": "Patient",
            "id": "p",
            "meta": {"tag": [TAG]},
            "deceasedBoolean": True,
        }


def test_a_summary_holds_the_flagged_elements_at_every_depth() -> None:
    left = orjson.loads(summarise(CONTENT, "true"))
    assert "text" not in left
    assert left["description"] == "Chest"
    assert list(left["series"][0]) == ["uid", "modality", "endpoint"]
    assert left["meta"]["tag"] == [TAG]


def test_a_summary_of_recursive_parts_ends() -> None:
    provision: dict[str, Any] = {"type": "deny", "code": [{"text": "x"}], "provision": [{"type": "permit"}]}
    left = orjson.loads(
        summarise(dump({"resourceType": "Consent", "status": "active", "provision": provision}), "true")
    )
    assert left["provision"]["type"] == "deny"
    assert "provision" not in left["provision"]


def test_summary_text_and_data_part_the_resource_by_its_narrative() -> None:
    assert list(orjson.loads(summarise(CONTENT, "text"))) == ["resourceType", "id", "meta", "text", "status", "subject"]
    data = orjson.loads(summarise(CONTENT, "data"))
    assert "text" not in data and "series" in data
    assert summarise(CONTENT, "false") is CONTENT


def test_a_part_of_a_type_that_is_not_known_keeps_what_was_asked() -> None:
    content = b'{"resourceType":"Nonsense","a":1,"b":2}'
    assert orjson.loads(pick(content, ("a",))) == {"resourceType": "Nonsense", "meta": {"tag": [TAG]}, "a": 1}
    assert orjson.loads(summarise(content, "true"))["b"] == 2


def test_a_tag_is_not_given_twice() -> None:
    once = without(CONTENT, ("endpoint",))
    assert orjson.loads(pick(once, ("series",)))["meta"]["tag"] == [TAG]


def test_references_are_found_with_their_places() -> None:
    found = [(place, reference["reference"]) for place, reference in references(STUDY)]
    assert found == [
        ("ImagingStudy.subject", "Patient/p1"),
        ("ImagingStudy.endpoint[0]", "Endpoint/e1"),
        ("ImagingStudy.series[0].endpoint[0]", "Endpoint/e2"),
    ]


@settings(max_examples=50)
@given(
    st.recursive(
        st.sampled_from(["#a", "Patient/1", 1, None]),
        lambda inner: (
            st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["reference", "x", "y"]), inner, max_size=3)
        ),
        max_leaves=20,
    )
)
def test_references_without_their_places_are_the_same_ones_in_the_same_order(content: Any) -> None:
    resource = {"resourceType": "Basic", "extension": content}
    assert [id(one) for one in referring(resource)] == [id(one) for _, one in references(resource)]


def test_rewriting_reaches_references_uris_and_links_and_nothing_else() -> None:
    urn = "urn:uuid:05efabf0-4be2-4561-91ce-51548425acb9"
    resource = {
        "resourceType": "DiagnosticReport",
        "text": {"status": "generated", "div": f'<div><a href="{urn}">x</a><img src="#{urn}"/>{urn}</div>'},
        "identifier": [{"system": "urn:ietf:rfc:3986", "value": urn}],
        "contained": [{"resourceType": "Patient", "link": [{"other": {"reference": urn, "display": urn}}]}],
        "extension": [{"url": "https://example.org/x", "valueUri": urn}, {"url": "y", "valueString": urn}],
        "subject": {"reference": urn},
    }
    count = rewrite(resource, {urn: "Patient/1"}.get)
    assert count == 4
    assert resource["subject"] == {"reference": "Patient/1"}
    assert resource["contained"][0]["link"][0]["other"] == {"reference": "Patient/1", "display": urn}  # type: ignore[index]
    assert resource["extension"] == [
        {"url": "https://example.org/x", "valueUri": "Patient/1"},
        {"url": "y", "valueString": urn},
    ]
    assert resource["identifier"] == [{"system": "urn:ietf:rfc:3986", "value": urn}]
    assert resource["text"]["div"] == f'<div><a href="Patient/1">x</a><img src="#{urn}"/>{urn}</div>'  # type: ignore[call-overload]


def test_a_conditional_reference_is_told_from_a_literal_one() -> None:
    assert conditional_reference("Patient?identifier=s|1") == ("Patient", "identifier=s|1")
    for text in ("Patient/1", "Patient?", "patient?a=b", "https://x/Patient?a=b", "urn:uuid:1"):
        assert conditional_reference(text) is None
