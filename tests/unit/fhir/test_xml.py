"""FHIR XML both ways, https://hl7.org/fhir/R4/xml.html"""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree

from app.fhir.lossless import number_text
from app.fhir.outcome import Fault
from app.fhir.registry import TYPES
from app.fhir.resource import parse
from app.fhir.xml import from_xml, to_xml

DIV = '<div xmlns="http://www.w3.org/1999/xhtml">%s</div>'


def spelled(value: Any) -> Any:
    """`value` with each number as it is written, since 1.10 and 1.1 are equal."""
    if isinstance(value, dict):
        return {name: spelled(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [spelled(inner) for inner in value]
    if isinstance(value, (int, Decimal)) and not isinstance(value, bool):
        return ("number", number_text(value))
    return value


def patient(inner: str) -> bytes:
    return f'<Patient xmlns="http://hl7.org/fhir">{inner}</Patient>'.encode()


@pytest.mark.parametrize("kind", [*TYPES, "Bundle", "Parameters", "OperationOutcome", "Binary"])
def test_every_example_of_our_types_is_the_same_after_xml(hl7: Path, kind: str) -> None:
    paths = [path for path in sorted(hl7.glob(f"{kind}-*.json")) if path.stat().st_size < 1_000_000]
    for path in paths:
        resource = parse(path.read_bytes())
        assert spelled(from_xml(to_xml(resource))) == spelled(resource), path.name


def test_another_reader_finds_the_same_in_what_is_written(hl7: Path) -> None:
    """lxml, as the second opinion: order of elements, attributes and namespaces."""
    root = etree.fromstring(to_xml(parse((hl7 / "Patient-example.json").read_bytes())))
    space = {"f": "http://hl7.org/fhir", "h": "http://www.w3.org/1999/xhtml"}
    assert root.tag == "{http://hl7.org/fhir}Patient"
    names = [etree.QName(child).localname for child in root]
    assert names == sorted(
        names,
        key=[
            "id",
            "text",
            "identifier",
            "active",
            "name",
            "telecom",
            "gender",
            "birthDate",
            "deceasedBoolean",
            "address",
            "contact",
            "managingOrganization",
        ].index,
    )
    assert root.xpath("string(f:birthDate/f:extension/@url)", namespaces=space).endswith("patient-birthTime")
    assert root.xpath("count(f:text/h:div)", namespaces=space) == 1


RICH: dict[str, Any] = {
    "resourceType": "Patient",
    "id": "p1",
    "text": {"status": "generated", "div": DIV % "<p class='a'>x &amp; y<br /></p><!-- kept -->"},
    "contained": [{"resourceType": "Organization", "id": "o", "name": "A & <B> \"C\" 'D'\n\tE"}],
    "extension": [
        {"url": "https://example.org/d", "valueDecimal": Decimal("1.10")},
        {"url": "https://example.org/i", "id": "x1", "valueInteger": -3},
        {"url": "https://example.org/n", "extension": [{"url": "inner", "valueBoolean": False}]},
    ],
    "active": True,
    "name": [
        {
            "id": "n1",
            "given": ["Ann", None, "Bea"],
            "_given": [None, {"extension": [{"url": "https://example.org/x", "valueCode": "masked"}]}, {"id": "g3"}],
        }
    ],
    "_gender": {"extension": [{"url": "https://example.org/x", "valueCode": "unknown"}]},
    "birthDate": "1970-03",
    "_birthDate": {"id": "b"},
}


def test_extensions_ids_contained_resources_and_narrative_are_kept() -> None:
    written = to_xml(RICH)
    assert from_xml(written) == RICH
    assert from_xml(to_xml(RICH, pretty=True)) == RICH
    assert b'<birthDate id="b" value="1970-03"/>' in written
    assert b'<given value="Ann"/><given><extension url="https://example.org/x"><valueCode value="masked"/>' in written
    assert b'<contained><Organization><id value="o"/>' in written
    assert b'<extension url="https://example.org/d"><valueDecimal value="1.10"/></extension>' in written
    assert b"<p class='a'>x &amp; y<br /></p><!-- kept -->" in written


def test_elements_are_written_in_the_order_of_the_specification() -> None:
    written = to_xml({"resourceType": "Patient", "birthDate": "1970", "active": True, "id": "1"})
    assert written == (
        b'<?xml version="1.0" encoding="UTF-8"?><Patient xmlns="http://hl7.org/fhir">'
        b'<id value="1"/><active value="true"/><birthDate value="1970"/></Patient>'
    )


@pytest.mark.parametrize("text", ["1.10", "-0.0", "1e3", "1.50E+02", "0.0000001", "12345678901234567890.5"])
def test_decimals_keep_their_spelling(text: str) -> None:
    body = b'{"resourceType":"Parameters","parameter":[{"name":"a","valueDecimal":%s}]}' % text.encode()
    resource = parse(body)
    written = to_xml(resource)
    assert f'<valueDecimal value="{text}"/>'.encode() in written
    assert spelled(from_xml(written)) == spelled(resource)


def test_resources_inside_entries_and_parameters_are_read() -> None:
    bundle = {
        "resourceType": "Bundle",
        "type": "transaction",
        "entry": [
            {"resource": {"resourceType": "Patient", "id": "1"}, "request": {"method": "PUT", "url": "Patient/1"}}
        ],
    }
    parameters = {"resourceType": "Parameters", "parameter": [{"name": "r", "resource": bundle}]}
    assert from_xml(to_xml(parameters)) == parameters


def test_comments_instructions_and_schema_locations_are_passed_over() -> None:
    body = (
        b'\xef\xbb\xbf<?xml version="1.0" encoding="utf-8"?><?style x?><!-- a -->'
        b'<f:Patient xmlns:f="http://hl7.org/fhir" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" '
        b'xsi:schemaLocation="http://hl7.org/fhir patient.xsd"><!-- b -->\n<f:active value="true"/></f:Patient>'
    )
    assert from_xml(body) == {"resourceType": "Patient", "active": True}


@pytest.mark.parametrize(
    "div",
    [
        DIV % "<br/>",
        DIV % "a &lt; b &amp; c",
        DIV % "<![CDATA[<x>]]>",
        "<div  xmlns='http://www.w3.org/1999/xhtml' xml:lang=\"en\">é😀</div>",
        '<h:div xmlns:h="http://www.w3.org/1999/xhtml"><h:p>a</h:p></h:div>',
    ],
)
def test_a_narrative_comes_back_exactly_as_it_was_written(div: str) -> None:
    resource = {"resourceType": "Patient", "text": {"status": "generated", "div": div}}
    assert from_xml(to_xml(resource)) == resource


def test_a_narrative_that_leans_on_an_outer_prefix_is_written_anew() -> None:
    body = (
        b'<Patient xmlns="http://hl7.org/fhir" xmlns:h="http://www.w3.org/1999/xhtml"><text><status value="generated"/>'
        b'<h:div class="&quot;&lt;"><h:p>a &lt; b</h:p><h:br/></h:div></text></Patient>'
    )
    assert from_xml(body)["text"]["div"] == (
        '<div xmlns="http://www.w3.org/1999/xhtml" class="&quot;&lt;"><p>a &lt; b</p><br></br></div>'
    )


def test_a_narrative_without_its_namespace_is_given_it() -> None:
    resource = {"resourceType": "Patient", "text": {"status": "generated", "div": "<div><p>a</p></div>"}}
    assert from_xml(to_xml(resource))["text"]["div"] == DIV % "<p>a</p>"


def test_an_empty_narrative_is_read_as_such() -> None:
    body = patient(
        '<text><status value="empty"/><div xmlns="http://www.w3.org/1999/xhtml"/></text><active value="true"/>'
    )
    assert from_xml(body) == {
        "resourceType": "Patient",
        "text": {"status": "empty", "div": DIV % ""},
        "active": True,
    }


BOMB = b'<!DOCTYPE p [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]>' + patient('<id value="&b;"/>')
XXE = b'<!DOCTYPE p [<!ENTITY a SYSTEM "file:///etc/passwd">]>' + patient('<id value="&a;"/>')


@pytest.mark.parametrize(
    ("body", "text", "place"),
    [
        (b"", "no content; expected XML", None),
        (b"\xff<a/>", "not UTF-8 at byte 0; expected XML in UTF-8", None),
        ("<Patient/>".encode("utf-16"), "not UTF-8 at byte 0; expected XML in UTF-8", None),
        (
            b'<?xml version="1.0" encoding="ISO-8859-1"?><a/>',
            "the encoding is declared otherwise; expected XML in UTF-8",
            None,
        ),
        (BOMB, "a document type declaration; expected XML without one", None),
        (XXE, "a document type declaration; expected XML without one", None),
        (
            b'<!DOCTYPE a SYSTEM "http://127.0.0.1/a.dtd"><a/>',
            "a document type declaration; expected XML without one",
            None,
        ),
        (b"<a>", "not XML at line 1, column 4; expected an element for a resource", None),
        (b"<a></b>", "not XML at line 1, column 6; expected each start tag to have its end tag", None),
        (b"<a/>\n<b/>", "not XML at line 2, column 1; expected nothing after the end", None),
        (b'<a x="1" x="2"/>', "not XML at line 1, column 10; expected each attribute once", None),
        (patient("&nbsp;"), "not XML at line 1, column 38; expected no entities but those of XML itself", None),
        (b"<f:a/>", "not XML at line 1, column 1; expected each prefix to be declared", None),
        (b"<a>\x01</a>", "not XML at line 1, column 4; expected well-formed XML", None),
        (
            b"<Patient/>",
            'the element "Patient" is not in the namespace "http://hl7.org/fhir", at line 1; expected a resource type',
            None,
        ),
        (
            b'<Unicorn xmlns="http://hl7.org/fhir"/>',
            'the element "Unicorn" is no resource, at line 1; expected a resource type',
            None,
        ),
        (
            patient('\n<birthdate value="1970"/>'),
            'the element "birthdate" is not known here, at line 2; the nearest known is "birthDate"',
            "Patient",
        ),
        (
            patient("<name/>"),
            "the element is empty, at line 1; expected content",
            "Patient.name[0]",
        ),
        (patient("<active/>"), "no value, at line 1; expected a value or an extension", "Patient.active"),
        (
            patient('<active value=""/>'),
            'the attribute "value" is empty, at line 1; expected a value or none',
            "Patient.active",
        ),
        (patient('<active value="yes"/>'), "not a boolean, at line 1; expected true or false", "Patient.active"),
        (
            patient('<multipleBirthInteger value="07"/>'),
            "not a number, at line 1; expected one like 12 or 1.50",
            "Patient.multipleBirthInteger",
        ),
        (
            patient('<active value="true"/><active value="true"/>'),
            'the element "active" is given 2 times, at line 1; expected it once',
            "Patient",
        ),
        (
            patient('<active valu="true"/>'),
            'the attribute "valu" is not known here, at line 1; the nearest known is "value"',
            "Patient.active",
        ),
        (
            patient('<name><id value="1"/></name>'),
            'the element "id" is not known here, at line 1; expected it as an attribute',
            "Patient.name[0]",
        ),
        (
            patient('<active value="true"><value value="1"/></active>'),
            'the element "value" in a primitive, at line 1; expected extensions only',
            "Patient.active",
        ),
        (
            patient('<name><given value="a"/><given><extension url="x"><valueCode/></extension></given></name>'),
            "no value, at line 1; expected a value or an extension",
            "Patient.name[0].given[1].extension[0].valueCode",
        ),
        (
            patient("<contained><Patient/><Patient/></contained>"),
            "2 resources in one element, at line 1; expected exactly one",
            "Patient.contained[0]",
        ),
        (
            patient('<active xmlns="urn:x" value="true"/>'),
            'the element "active" is in another namespace, at line 1; expected that of FHIR',
            "Patient",
        ),
        (
            patient('<active value="true">yes</active>'),
            'text in the element "active" at line 1; expected an attribute value',
            None,
        ),
        (
            patient('<text><status value="generated"/><div>x</div></text>'),
            'text in the element "div" at line 1; expected an attribute value',
            None,
        ),
    ],
)
def test_what_is_not_fhir_xml_is_refused_with_its_place(body: bytes, text: str, place: str | None) -> None:
    with pytest.raises(Fault) as caught:
        from_xml(body)
    assert (caught.value.kind, caught.value.text, caught.value.expression) == ("structure", text, place)


@pytest.mark.attack(76)
def test_depth_and_size_are_limited() -> None:
    def deep(levels: int) -> bytes:
        return patient('<extension url="x">' * levels + '<valueCode value="a"/>' + "</extension>" * levels)

    from_xml(deep(30))
    for body in (
        deep(40),
        deep(100),
        deep(100_000),
        patient("<text><div xmlns='http://www.w3.org/1999/xhtml'>" + "<b>" * 300),
    ):
        with pytest.raises(Fault, match="nested too deep") as caught:
            from_xml(body)
        assert caught.value.status == 413
    with pytest.raises(Fault, match="expected at most 10"):
        from_xml(patient(""), max_bytes=10)


@pytest.mark.parametrize(
    ("resource", "text", "place"),
    [
        ({}, "a resource of a type that is not known", None),
        ({"resourceType": "Unicorn"}, "a resource of a type that is not known", "Unicorn"),
        (
            {"resourceType": "Patient", "colour": "red"},
            'the element "colour" that XML has no place for',
            "Patient",
        ),
        ({"resourceType": "Patient", "_name": []}, 'the element "_name" that XML has no place for', "Patient"),
        ({"resourceType": "Patient", "name": {}}, "one value where a list belongs", "Patient.name"),
        ({"resourceType": "Patient", "name": ["x"]}, "a value where an object belongs", "Patient.name[0]"),
        (
            {"resourceType": "Patient", "name": [{"given": "x"}]},
            "one value where a list belongs",
            "Patient.name[0].given",
        ),
        ({"resourceType": "Patient", "name": [{"given": [None]}]}, "no value", "Patient.name[0].given[0]"),
        ({"resourceType": "Patient", "active": "true"}, "a value of another kind than the element's", "Patient.active"),
        (
            {"resourceType": "Patient", "_active": {"x": 1}},
            "more than id and extension beside a value",
            "Patient.active",
        ),
        (
            {"resourceType": "Patient", "birthDate": "\x01"},
            "text with a character that XML cannot hold",
            "Patient.birthDate.value",
        ),
        (
            {"resourceType": "Patient", "text": {"status": "generated", "div": "<div>&nbsp;</div>"}},
            "a narrative that is not XHTML",
            "Patient.text.div",
        ),
        (
            {
                "resourceType": "Patient",
                "text": {"div": '<?xml version="1.0"?><div xmlns="http://www.w3.org/1999/xhtml"/>'},
            },
            "a narrative that is not XHTML",
            "Patient.text.div",
        ),
        (
            {"resourceType": "Patient", "text": {"div": '</text><div xmlns="http://www.w3.org/1999/xhtml"/>'}},
            "a narrative that is not XHTML",
            "Patient.text.div",
        ),
    ],
)
def test_what_xml_cannot_say_is_not_acceptable(resource: dict[str, Any], text: str, place: str | None) -> None:
    with pytest.raises(Fault) as caught:
        to_xml(resource)
    assert caught.value.status == 406
    assert (caught.value.text, caught.value.expression) == (
        f"{text}; expected application/fhir+json to be asked for",
        place,
    )


def test_a_name_that_closes_an_element_is_text_and_no_markup() -> None:
    resource = {"resourceType": "Patient", "name": [{"text": '"/><active value="true"/><x a="'}]}
    assert from_xml(to_xml(resource)) == resource


TEXT = st.text(
    st.characters(codec="utf-8", exclude_categories=("Cc", "Cs"), exclude_characters="\ufffe\uffff"), min_size=1
)
TEXTS = TEXT | st.sampled_from(("\n", "\r\n", "\t x", "&amp;", "<a>", '"', "]]>"))


@settings(max_examples=60, deadline=None)
@given(st.lists(TEXTS, min_size=1, max_size=3), TEXTS, st.booleans(), st.booleans())
def test_any_text_comes_back_from_xml_as_it_was(
    given_names: list[str], family: str, active: bool, pretty: bool
) -> None:
    resource = {"resourceType": "Patient", "active": active, "name": [{"family": family, "given": given_names}]}
    assert from_xml(to_xml(resource, pretty=pretty)) == resource


SCRAPS = st.sampled_from(
    (
        "<name>",
        "</name>",
        '<given value="a"/>',
        "<text>",
        "</text>",
        "<div xmlns='http://www.w3.org/1999/xhtml'>",
        "</div>",
        "<contained>",
        "</contained>",
        "<Patient>",
        "</Patient>",
        '<extension url="x">',
        "</extension>",
        "<!--",
        "-->",
        "&lt;",
        "<![CDATA[",
        "]]>",
        "x",
        "<?p ?>",
        '<id value="1"/>',
        "&#0;",
        "&#xD800;",
    )
)


@settings(max_examples=150, deadline=None)
@given(st.lists(SCRAPS, max_size=10).map(lambda scraps: patient("".join(scraps))) | st.binary(max_size=40))
def test_any_xml_is_read_or_refused(body: bytes) -> None:
    try:
        resource = from_xml(body)
    except Fault as fault:
        assert fault.status in (400, 413)
    else:
        assert from_xml(to_xml(resource)) == resource


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(
            st.sampled_from(
                ("name", "given", "_given", "text", "div", "id", "_id", "url", "extension", "contained", "active")
            ),
            inner,
            max_size=3,
        )
    ),
    max_leaves=8,
)


@settings(max_examples=100, deadline=None)
@given(st.dictionaries(st.sampled_from(("name", "text", "_active", "active", "extension", "contained", "id")), JSON))
def test_any_json_is_written_or_refused(inner: dict[str, Any]) -> None:
    try:
        written = to_xml({"resourceType": "Patient", **inner})
    except Fault as fault:
        assert fault.status == 406
    else:
        etree.fromstring(written)
