"""Formats, preferences, versions and dates in headers, https://hl7.org/fhir/R4/http.html#general"""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.fhir.negotiation import (
    Preference,
    check_if_match,
    entity_tags,
    etag,
    format_http_date,
    http_date,
    is_form,
    not_modified,
    patch_format,
    prefer,
    request_format,
    response_format,
)
from app.fhir.outcome import Fault

AT = 1_773_136_800_123_456  # 2026-03-10T10:00:00.123456Z


@pytest.mark.parametrize(
    ("accept", "chosen"),
    [
        (None, "json"),
        ("", "json"),
        (" , ", "json"),
        ("*/*", "json"),
        ("application/*", "json"),
        ("text/*", "json"),
        ("application/json", "json"),
        ("application/fhir+json", "json"),
        ("application/fhir+xml", "xml"),
        ("APPLICATION/FHIR+XML; charset=utf-8", "xml"),
        ("text/xml", "xml"),
        ("application/xml", "xml"),
        ("application/fhir+xml;q=0.5, application/fhir+json;q=0.4", "xml"),
        ("application/fhir+xml;q=0.4, application/fhir+json;q=0.5", "json"),
        ("application/fhir+xml, application/fhir+json", "xml"),
        ("text/html, application/fhir+xml;q=0.9, */*;q=0.8", "xml"),
        ("text/html, */*;q=0.1", "json"),
        ("application/fhir+json;q=0, application/json;q=0, text/json;q=0, */*", "json"),
        ("application/json;q=0, */*;q=0.1, text/xml", "xml"),
        ("application/fhir+json; fhirVersion=4.0", "json"),
        ("application/fhir+json; fhirVersion=5.0, application/fhir+xml", "xml"),
        ('text/html;level="a,b", text/xml', "xml"),
    ],
)
def test_accept_chooses_by_weight_closeness_and_order(accept: str | None, chosen: str) -> None:
    assert response_format(accept) == chosen


@pytest.mark.parametrize(
    "accept",
    [
        "text/html",
        "image/png, text/turtle",
        "*/*;q=0",
        "application/fhir+json;q=x",
        "application/fhir+json;fhirVersion=3.0",
    ],
)
def test_an_accept_that_nothing_satisfies_is_not_acceptable(accept: str) -> None:
    with pytest.raises(Fault, match="expected application/fhir") as caught:
        response_format(accept)
    assert caught.value.status == 406


@pytest.mark.parametrize(
    ("format", "chosen"),
    [
        ("json", "json"),
        ("xml", "xml"),
        ("application/fhir+xml", "xml"),
        ("application/fhir xml", "xml"),
        ("application/json", "json"),
        ("text/xml", "xml"),
        ("application/fhir+json;fhirVersion=4.0", "json"),
    ],
)
def test_the_format_parameter_goes_before_accept(format: str, chosen: str) -> None:
    assert response_format("text/html", format) == chosen


@pytest.mark.parametrize("format", ["html", "ttl", "JSONX", "application/fhir+json;fhirVersion=5.0"])
def test_an_unknown_format_parameter_is_not_acceptable(format: str) -> None:
    with pytest.raises(Fault) as caught:
        response_format("application/json", format)
    assert (caught.value.status, caught.value.expression) == (406, "_format")


def test_the_content_type_tells_the_format_of_what_was_sent() -> None:
    assert request_format("application/fhir+json") == "json"
    assert request_format('Application/JSON; charset="UTF-8"') == "json"
    assert request_format("text/xml;charset=utf-8") == "xml"
    assert patch_format("application/json-patch+json; charset=utf-8") == "json-patch"
    assert patch_format("application/fhir+json") == "json"
    assert patch_format("application/fhir+xml") == "xml"
    assert is_form("application/x-www-form-urlencoded; charset=utf-8")
    assert not is_form(None)


@pytest.mark.parametrize(
    ("content_type", "text"),
    [
        (None, "no Content-Type; expected application/fhir+json or application/fhir+xml"),
        ("", "no Content-Type; expected application/fhir+json or application/fhir+xml"),
        ("text/plain", "the Content-Type is not supported; expected application/fhir+json or application/fhir+xml"),
        ("application/json; charset=utf-16", "the charset is not supported; expected utf-8"),
        ("application/json; fhirVersion=5.0", "the fhirVersion is not supported; expected 4.0"),
    ],
)
def test_other_content_is_refused_as_an_unsupported_media_type(content_type: str | None, text: str) -> None:
    with pytest.raises(Fault) as caught:
        request_format(content_type)
    assert (caught.value.status, caught.value.text) == (415, text)


def test_an_xml_patch_is_refused_as_an_unsupported_media_type() -> None:
    with pytest.raises(Fault, match="no patch in this Content-Type") as caught:
        patch_format("application/xml-patch+xml")
    assert caught.value.status == 415


@pytest.mark.parametrize(
    ("header", "preference"),
    [
        (None, Preference()),
        ("return=minimal", Preference("minimal")),
        ("return=OperationOutcome; foo=bar", Preference("OperationOutcome")),
        ('respond-async, Return="representation", handling=lenient', Preference("representation", "lenient")),
        ("handling=strict, handling=lenient", Preference(None, "strict")),
        ("return=everything, wait=10", Preference()),
    ],
)
def test_known_preferences_are_taken_and_others_ignored(header: str | None, preference: Preference) -> None:
    assert prefer(header) == preference
    assert preference.lenient == (preference.handling == "lenient")


def test_entity_tags_are_read_weak_and_strong() -> None:
    assert etag(3) == 'W/"3"'
    assert entity_tags(None, "If-Match") == ()
    assert entity_tags(" * ", "If-Match") == ("*",)
    assert entity_tags('W/"3", "abc" ,W/""', "If-Match") == ("3", "abc", "")


@pytest.mark.parametrize("header", ["3", 'W/3"', 'w/"3"', '"3" "4"', ",", 'W/"3', "\x00"])
def test_what_is_no_entity_tag_is_refused(header: str) -> None:
    with pytest.raises(Fault) as caught:
        entity_tags(header, "If-Match")
    assert (caught.value.status, caught.value.text) == (400, 'If-Match is not an entity tag; expected one like W/"3"')


def test_if_match_lets_only_the_current_version_be_written() -> None:
    check_if_match(None, 3)
    check_if_match(None, None)
    check_if_match('W/"3"', 3)
    check_if_match("*", 3)
    for header, version in (('W/"2"', 3), ("*", None), ('W/"1"', None)):
        with pytest.raises(Fault) as caught:
            check_if_match(header, version)
        assert caught.value.status == 412


def test_a_conditional_read_goes_by_version_before_it_goes_by_date() -> None:
    date = "Tue, 10 Mar 2026 10:00:00 GMT"
    assert not_modified('W/"3"', None, 3, AT)
    assert not not_modified('W/"2"', date, 3, AT)
    assert not_modified(None, date, 3, AT)
    assert not not_modified(None, "Tue, 10 Mar 2026 09:59:59 GMT", 3, AT)
    assert not not_modified(None, None, 3, AT)


def test_dates_are_read_in_the_three_forms_of_http_and_written_in_one() -> None:
    assert format_http_date(AT) == "Tue, 10 Mar 2026 10:00:00 GMT"
    for text in (format_http_date(AT), "Tuesday, 10-Mar-26 10:00:00 GMT", "Tue Mar 10 10:00:00 2026"):
        assert http_date(text) == AT // 1_000_000 * 1_000_000


@pytest.mark.parametrize("text", [None, "", "yesterday", "Tue, 99 Mar 2026 10:00:00 GMT", "é", "1" * 100])
def test_a_date_that_cannot_be_read_is_none(text: str | None) -> None:
    assert http_date(text) is None


@settings(max_examples=80, deadline=None)
@given(st.text(max_size=40) | st.text('W/"*,;=q. application/fhir+json', max_size=40))
def test_any_header_is_read_or_refused(header: str) -> None:
    http_date(header)
    prefer(header)
    for read in (response_format, request_format, patch_format, lambda text: entity_tags(text, "If-Match")):
        try:
            read(header)
        except Fault as fault:
            assert fault.status in (400, 406, 415)
