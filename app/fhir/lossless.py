"""JSON in and out with nothing lost: numbers keep their spelling, and what JSON leaves open is refused by name.

https://hl7.org/fhir/R4/json.html. RFC 8259 leaves repeated names, lone surrogates and huge numbers to each reader;
two readers that differ on them see two different resources, so none of them gets in.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any, Self

import orjson

from app.fhir.faults import shown
from app.fhir.outcome import Fault

MAX_BYTES = 16 * 1024 * 1024
MAX_DEPTH = 64

_MAX_NUMBER = 1000  # characters; reading a longer one takes time out of proportion
_MAX_EXPONENT = 400
_BOM = b"\xef\xbb\xbf"
_NOT_BRACKETS = bytes(code for code in range(256) if code not in b"{}[]")
_BRACKETS = re.compile(rb'"(?:[^"\\]++|\\.)*+"|([\[{])|([\]}])', re.DOTALL)
_SUSPECT = re.compile(rb"\\u(?:0000|[dD][89a-fA-F])")
_SPACE = b" \t\r\n"
# What may be a number that is not kept as an int: one after a name, and any in a list, which FHIR hardly has.
_LOOSE = (re.compile(rb'":-?[0-9]+(?:[.eE]|(?<=[0-9]{18}))'), re.compile(rb"\[-?[0-9]"), re.compile(rb",-?[0-9]"))
_NUL = b"\\u0000"
_UNTEXT = re.compile("[\x00\ud800-\udfff]")
_NAME = re.compile(r"_?[A-Za-z][A-Za-z0-9]{0,63}\Z")
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?\Z")
_INTEGER = re.compile(r"-?(?:0|[1-9][0-9]*)\Z")

_EXPECTED = (
    ("Expecting property name", "a property name in double quotes"),
    ("Expecting ':'", "a colon after the property name"),
    ("Expecting ','", "a comma, or the end of the object or array"),
    ("Expecting value", "a value"),
    ("Unterminated string", "the end of the string"),
    ("Invalid control", "control characters in a string to be escaped"),
    ("Invalid \\", "a valid escape in the string"),
    ("Extra data", "nothing after the end"),
    ("Illegal trailing comma", "no comma before the end of the object or array"),
)


class Exponent(Decimal):
    """A number that was written with an exponent: `1.50e2` and `150` are the same Decimal, so this keeps its text."""

    __slots__ = ("text",)
    text: str

    def __new__(cls, text: str) -> Self:
        self = super().__new__(cls, text)
        self.text = text
        return self

    def __copy__(self) -> Exponent:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Exponent:
        return self

    def __reduce__(self) -> tuple[type[Exponent], tuple[str]]:
        return Exponent, (self.text,)


class _Refused(Exception):
    """What the decoder's hooks raise; it is worded where the place is known."""


def load(body: bytes, max_bytes: int = MAX_BYTES, max_depth: int = MAX_DEPTH) -> Any:
    """The JSON value in `body`: integers as int, every other number as Decimal. Raises Fault structure or too-costly."""
    if len(body) > max_bytes:
        raise Fault("too-costly", f"the content has {len(body)} bytes; expected at most {max_bytes}")
    if body.startswith(_BOM):
        body = body[3:]
    try:
        text = body.decode()
    except UnicodeDecodeError as broken:
        raise Fault("structure", f"not UTF-8 at byte {broken.start}; expected JSON in UTF-8") from None
    if _deeper_than(body, max_depth):
        raise Fault("too-costly", f"nested too deep; expected at most {max_depth} levels")
    if (plain := _plain(body)) is not None:
        return plain
    try:
        value = _DECODER.decode(text)
    except json.JSONDecodeError as broken:
        raise _syntax(text, broken) from None
    except RecursionError:
        raise Fault("too-costly", f"nested too deep; expected at most {max_depth} levels") from None
    except _Refused:
        raise _refusal(text) from None
    if _SUSPECT.search(body):
        _check_text(value)
    return value


def _plain(body: bytes) -> Any:
    """The object that is compact JSON with no number but small whole ones, read by a faster parser; None for any other.

    It comes back byte for byte when it is written again: so no name was given twice, and nothing is lost."""
    body = body.strip(_SPACE)
    if body[:1] != b"{" or _NUL in body or any(one.search(body) for one in _LOOSE):
        return None
    try:
        value = orjson.loads(body)
        return value if orjson.dumps(value) == body else None
    except ValueError:
        return None


def reload(content: bytes) -> Any:
    """What `dump` wrote, read again without the checks it has passed."""
    return _STORED.decode(content.decode())


def dump(value: Any) -> bytes:
    """`value` as compact JSON, in the order it has, each number as it was written. Raises Fault structure."""
    try:
        return orjson.dumps(value, default=_fragment)
    except TypeError:
        raise Fault("structure", "content that JSON cannot hold; expected text, numbers, lists and objects") from None


def number(text: str) -> int | Decimal | None:
    """The number that `text` spells as JSON and FHIR do, or None."""
    if len(text) > _MAX_NUMBER or _NUMBER.match(text) is None:
        return None
    try:
        return _integer(text) if _INTEGER.match(text) else _decimal(text)
    except _Refused:
        return None


def number_text(value: float | Decimal) -> str:
    """A number as it was written."""
    if isinstance(value, Exponent):
        return value.text
    if isinstance(value, Decimal):
        return format(value, "f")
    return dump(value).decode()


def depth(value: Any) -> int:
    """How many objects and arrays are inside each other at the deepest place."""
    if isinstance(value, dict):
        return 1 + max(map(depth, value.values()), default=0)
    if isinstance(value, list):
        return 1 + max(map(depth, value), default=0)
    return 0


def place(trail: tuple[str | int, ...], root: str = "") -> str:
    """`trail` as an expression: `Patient.name[0].given`. It ends before what is no name of an element."""
    text = root
    for step in trail:
        if isinstance(step, int):
            text += f"[{step}]"
        elif _NAME.match(step):
            text += ("." if text else "") + step
        else:
            break
    return text


def root_name(value: Any) -> str:
    """The word with which the expression of a place in `value` begins: its resource type."""
    kind = value.get("resourceType") if isinstance(value, dict) else None
    return kind if isinstance(kind, str) and _NAME.match(kind) else ""


def _deeper_than(body: bytes, limit: int) -> bool:
    """Whether brackets nest deeper than `limit`, told before any parser recurses into them."""
    left = body.translate(None, _NOT_BRACKETS)
    for _ in range(limit):
        if not left:
            return False
        shorter = left.replace(b"{}", b"").replace(b"[]", b"")
        if len(shorter) == len(left):
            break
        left = shorter
    if not left:
        return False
    level = 0  # brackets are left: in strings, unbalanced, or too deep; count them one by one
    for token in _BRACKETS.finditer(body):
        if token[1]:
            level += 1
            if level > limit:
                return True
        elif token[2]:
            level -= 1
    return False


def _syntax(text: str, broken: json.JSONDecodeError) -> Fault:
    if not text.strip():
        return Fault("structure", "no content; expected JSON")
    wanted = next((words for start, words in _EXPECTED if broken.msg.startswith(start)), "JSON")
    return Fault("structure", f"not JSON at line {broken.lineno}, column {broken.colno}; expected {wanted}")


def _refusal(text: str) -> Fault:
    """Read once more, noting where, what the fast reader stopped at."""
    found: list[tuple[dict[str, Any], str]] = []

    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        made = dict(items)
        if len(made) != len(items):
            names = [name for name, _ in items]
            found.append((made, next(name for name in names if names.count(name) > 1)))
        return made

    try:
        value = _decoder(pairs).decode(text)
    except _Refused as refused:
        return Fault("structure", str(refused))
    except (json.JSONDecodeError, RecursionError):
        value = None  # a repeated name comes first, then another fault
    for made, name in found:
        where = next((place(trail, root_name(value)) for trail, one in _objects(value, ()) if one is made), None)
        return Fault("structure", f"the property {shown(name)} is given twice; expected it once", where or None)
    return Fault("structure", "not JSON; expected JSON")


def _objects(value: Any, trail: tuple[str | int, ...]) -> Iterator[tuple[tuple[str | int, ...], dict[str, Any]]]:
    if isinstance(value, dict):
        yield trail, value
        for name, inner in value.items():
            yield from _objects(inner, (*trail, name))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _objects(inner, (*trail, index))


def _check_text(value: Any) -> None:
    root = root_name(value)
    stack: list[tuple[tuple[str | int, ...], Any]] = [((), value)]
    while stack:
        trail, one = stack.pop()
        if isinstance(one, str):
            _refuse_untext(one, trail, root)
        elif isinstance(one, dict):
            for name, inner in one.items():
                _refuse_untext(name, trail, root)
                stack.append(((*trail, name), inner))
        elif isinstance(one, list):
            stack.extend(((*trail, index), inner) for index, inner in enumerate(one))


def _refuse_untext(text: str, trail: tuple[str | int, ...], root: str) -> None:
    bad = _UNTEXT.search(text)
    if bad is not None:
        what = "a NUL character" if bad[0] == "\x00" else "half of a surrogate pair"
        raise Fault("structure", f"text holds {what}; expected Unicode text", place(trail, root) or None)


def _unique(items: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(items)
    if len(made) != len(items):
        raise _Refused
    return made


def _integer(text: str) -> int | Decimal:
    if len(text) < 19 and text != "-0":
        return int(text)
    if len(text) > _MAX_NUMBER:
        raise _Refused(f"a number has more than {_MAX_NUMBER} characters; expected fewer")
    return Decimal(text)


def _decimal(text: str) -> Decimal:
    if len(text) > _MAX_NUMBER:
        raise _Refused(f"a number has more than {_MAX_NUMBER} characters; expected fewer")
    if "e" not in text and "E" not in text:
        return Decimal(text)
    # The exponent is looked at first: arithmetic on a number of a billion digits would never end.
    exponent = text.lower().partition("e")[2]
    if len(exponent) > 5 or abs(int(exponent)) > _MAX_EXPONENT:
        raise _Refused(f"a number has an exponent that is out of range; expected at most {_MAX_EXPONENT}")
    return Exponent(text)


def _constant(text: str) -> Any:
    raise _Refused("NaN or Infinity in place of a number; expected JSON")


def _decoder(pairs: Callable[[list[tuple[str, Any]]], dict[str, Any]] | None) -> json.JSONDecoder:
    return json.JSONDecoder(object_pairs_hook=pairs, parse_float=_decimal, parse_int=_integer, parse_constant=_constant)


_DECODER = _decoder(_unique)
_STORED = _decoder(None)


def _fragment(value: Any) -> orjson.Fragment:
    if isinstance(value, Decimal) and value.is_finite():
        return orjson.Fragment(number_text(value))
    raise TypeError
