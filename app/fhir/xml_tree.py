"""XML text as a small tree, read with nothing of XML that could reach further: no DTD, no entities, no network.

Expat is used and not a library with a tree of its own, because it tells at which byte an element begins and ends: the
narrative is kept exactly as it was written. https://hl7.org/fhir/R4/xml.html, https://hl7.org/fhir/R4/narrative.html
"""

from __future__ import annotations

import re
from xml.parsers import expat

from app.fhir.faults import shown
from app.fhir.outcome import Fault

FHIR = "http://hl7.org/fhir"
XHTML = "http://www.w3.org/1999/xhtml"
MAX_DEPTH = 64

_BOM = b"\xef\xbb\xbf"
_MAX_NARRATIVE_DEPTH = 200
_BARE = re.compile(r"\A<div(?=[\s>/])")


class Node:
    """An element: its name, its attributes, the elements in it. `raw` is the text of a narrative's div."""

    __slots__ = ("attributes", "children", "line", "name", "namespace", "raw")

    def __init__(self, namespace: str, name: str, attributes: dict[str, str], line: int) -> None:
        self.namespace = namespace
        self.name = name
        self.attributes = attributes
        self.line = line
        self.children: list[Node] = []
        self.raw: str | None = None


def read(body: bytes, max_depth: int = MAX_DEPTH) -> Node:
    """The root element of `body`. Raises Fault structure or too-costly."""
    body = body.removeprefix(_BOM)
    try:
        body.decode()
    except UnicodeDecodeError as broken:
        raise Fault("structure", f"not UTF-8 at byte {broken.start}; expected XML in UTF-8") from None
    if not body.strip():
        raise Fault("structure", "no content; expected XML")
    return _Reader(body, max_depth).root()


def narrative(div: str) -> str | None:
    """`div` as it can stand in XML, with its namespace; None if it is not one well-formed XHTML div."""
    text = div.strip()
    if not text.startswith("<") or text.startswith(("<?", "<!")):
        return None
    for candidate in (text, _BARE.sub(f'<div xmlns="{XHTML}"', text)):
        try:
            if _Reader(candidate.encode(), 0).root().raw is not None:
                return candidate
        except (Fault, UnicodeEncodeError):
            continue
    return None


class _Reader:
    """One pass of Expat over a document."""

    def __init__(self, body: bytes, max_depth: int) -> None:
        self.body = body
        self.max_depth = max_depth
        self.stack: list[Node] = []
        self.found: Node | None = None
        self.start = 0
        self.div_depth = 0  # how many elements deep in a narrative's div, 0 outside
        self.div_filled = False
        self.div_own = ""
        self.parts: list[str] = []
        parser = expat.ParserCreate("utf-8", " ")
        parser.buffer_text = True
        parser.XmlDeclHandler = self.declaration
        parser.StartDoctypeDeclHandler = self.doctype
        parser.StartElementHandler = self.opened
        parser.EndElementHandler = self.closed
        parser.CharacterDataHandler = self.text
        self.parser = parser

    def root(self) -> Node:
        try:
            self.parser.Parse(self.body, True)
        except expat.ExpatError as broken:
            why = _WHY.get(broken.code, "well-formed XML")
            raise Fault(
                "structure", f"not XML at line {broken.lineno}, column {broken.offset + 1}; expected {why}"
            ) from None
        if self.found is None:
            raise Fault("structure", "no element; expected one for a resource")
        return self.found

    def declaration(self, version: str, encoding: str | None, standalone: int) -> None:
        if encoding is not None and encoding.lower() not in ("utf-8", "utf8", "us-ascii"):
            raise Fault("structure", "the encoding is declared otherwise; expected XML in UTF-8")

    def doctype(self, name: str, system: str | None, public: str | None, internal: bool) -> None:
        raise Fault("structure", "a document type declaration; expected XML without one")

    def opened(self, tag: str, attributes: dict[str, str]) -> None:
        if self.div_depth:
            self.div_depth += 1
            self.div_filled = True
            if self.div_depth > _MAX_NARRATIVE_DEPTH:
                raise Fault("too-costly", f"nested too deep; expected at most {_MAX_NARRATIVE_DEPTH} levels in text")
            self.parts.append(_start_tag(tag, attributes, top=False))
            return
        namespace, _, name = tag.rpartition(" ")
        node = Node(namespace, name, attributes, self.parser.CurrentLineNumber)
        if self.stack:
            self.stack[-1].children.append(node)
        else:
            self.found = node
        self.stack.append(node)
        if namespace == XHTML and name == "div":
            self.start = self.parser.CurrentByteIndex
            self.div_depth, self.div_filled = 1, False
            self.parts = [_start_tag(tag, attributes, top=True)]
        elif len(self.stack) > self.max_depth > 0:
            raise Fault("too-costly", f"nested too deep; expected at most {self.max_depth} levels")

    def closed(self, tag: str) -> None:
        if self.div_depth:
            self.div_depth -= 1
            self.parts.append(f"</{tag.rpartition(' ')[2]}>")
            if self.div_depth:
                return
            self.stack[-1].raw = self._div()
        self.stack.pop()

    def text(self, data: str) -> None:
        if self.div_depth:
            if data.strip():
                self.div_filled = True
            self.parts.append(data.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;"))
        elif data.strip():
            where = self.stack[-1].name if self.stack else ""
            raise Fault(
                "structure",
                f"text in the element {shown(where)} at line {self.parser.CurrentLineNumber}; expected an attribute value",
            )

    def _div(self) -> str:
        """The div as it was written if it can stand alone, else written anew with its namespace."""
        if not self.div_filled:
            return "".join(self.parts)
        end = self.body.index(b">", self.parser.CurrentByteIndex) + 1
        raw = self.body[self.start : end].decode()
        if self.max_depth == 0:
            return raw
        return raw if narrative(raw) == raw else "".join(self.parts)


def _start_tag(tag: str, attributes: dict[str, str], *, top: bool) -> str:
    said = "".join(f' {name.rpartition(" ")[2]}="{_escaped(value)}"' for name, value in attributes.items())
    space = f' xmlns="{XHTML}"' if top else ""
    return f"<{tag.rpartition(' ')[2]}{space}{said}>"


def _escaped(value: str) -> str:
    return value.replace("&", "&amp;").replace("<", "&lt;").replace('"', "&quot;")


_WHY = {
    expat.errors.codes[expat.errors.XML_ERROR_TAG_MISMATCH]: "each start tag to have its end tag",
    expat.errors.codes[expat.errors.XML_ERROR_DUPLICATE_ATTRIBUTE]: "each attribute once",
    expat.errors.codes[expat.errors.XML_ERROR_UNDEFINED_ENTITY]: "no entities but those of XML itself",
    expat.errors.codes[expat.errors.XML_ERROR_UNBOUND_PREFIX]: "each prefix to be declared",
    expat.errors.codes[expat.errors.XML_ERROR_JUNK_AFTER_DOC_ELEMENT]: "nothing after the end",
    expat.errors.codes[expat.errors.XML_ERROR_NO_ELEMENTS]: "an element for a resource",
}
