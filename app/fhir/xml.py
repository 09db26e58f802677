"""FHIR XML to the JSON form and back, by the table of elements: nothing lost either way.

https://hl7.org/fhir/R4/xml.html and https://hl7.org/fhir/R4/json.html. A value is an attribute, an id and the url of an
extension too; what extends a primitive is in its element in XML, and beside it under `_name` in JSON.
"""

from __future__ import annotations

from typing import Any

from app.fhir.lossless import MAX_BYTES, MAX_DEPTH
from app.fhir.outcome import Fault
from app.fhir.xml_reader import resource_of
from app.fhir.xml_tree import read
from app.fhir.xml_writer import Writer

__all__ = ["from_xml", "to_xml"]


def from_xml(body: bytes, max_bytes: int = MAX_BYTES, max_depth: int = MAX_DEPTH) -> dict[str, Any]:
    """The resource in `body`, in its JSON form. Raises Fault structure or too-costly, with line and place."""
    if len(body) > max_bytes:
        raise Fault("too-costly", f"the content has {len(body)} bytes; expected at most {max_bytes}")
    return resource_of(read(body, max_depth), max_depth)


def to_xml(resource: dict[str, Any], *, pretty: bool = False) -> bytes:
    """`resource` as XML, elements in the order of the specification.

    Raises Fault not-acceptable, with the place, for what the JSON form tolerates and XML has no place for: an element
    that its type does not have, a control character, a narrative that is not XHTML.
    """
    return Writer(pretty).document(resource)
