"""The right side of a search parameter: escapes, alternatives, and one reader for each kind of value.

https://hl7.org/fhir/R4/search.html#escaping and #ptypes. Readers raise `Wrong`, in words without the value.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation

from app.fhir.faults import TooMuch, Wrong, nearest, shown
from app.fhir.identifier import DICOM_UID, OID, bare_uid, canonical, canonical_system, is_uid
from app.fhir.query import Param, Range, Reference, Text, Token, Typed, Value
from app.fhir.reference import ID, place
from app.fhir.registry import PREFIXES
from app.fhir.temporal import interval
from app.fhir.text import normalise

MAX_VALUES = 1000
MAX_LENGTH = 1024
MAX_TOTAL = 4000
MAX_CLAUSES = 128

ValueSets = Mapping[str, Collection[tuple[str | None, str]]]  # by canonical URL: (system, code)


@dataclass(slots=True)
class Context:
    """What a value is read against: now, this server's base, the zone of local times, and our own value sets; and how
    many values were read, since a chain that may lead to several types reads its values for each."""

    at: int
    base_url: str = ""
    zone: str = "Europe/London"
    valuesets: ValueSets = field(default_factory=dict)
    read: int = 0
    clauses: int = 0

    def count(self, values: int) -> None:
        """One clause more, of so many values."""
        self.clauses += 1
        self.read += values
        if self.clauses > MAX_CLAUSES:
            raise TooMuch(f"a query of too many conditions: at most {MAX_CLAUSES} are taken, over all types of a chain")
        if self.read > MAX_TOTAL:
            raise TooMuch(f"a query of too many values: at most {MAX_TOTAL} are taken, over all types of a chain")


_NUMBER = re.compile(r"([+-]?)(\d{1,30})(?:\.(\d{1,30}))?(?:[eE]([+-]?\d{1,3}))?\Z", re.ASCII)
_PREFIXED = re.compile(r"([a-z]{2})?(.*)\Z", re.DOTALL)
_SPACED_OFFSET = re.compile(r"(T\d\d:\d\d(?::\d\d(?:\.\d+)?)?) (\d\d:\d\d)\Z", re.ASCII)


def alternatives(text: str) -> list[str]:
    """The values of a parameter, still escaped, parted at the commas that are not."""
    values = _split(text, ",")
    if len(values) > MAX_VALUES:
        raise TooMuch(f"too many values: {len(values)} were given, at most {MAX_VALUES} are taken")
    for value in values:
        if not value.strip():
            raise Wrong("an empty value: expected one for each parameter and at each place between commas")
        if len(value) > MAX_LENGTH:
            raise TooMuch(f"a value of {len(value)} characters: at most {MAX_LENGTH} are taken")
        if "\0" in value:
            raise Wrong("a value with a NUL character: expected text")
    return values


def unescaped(text: str) -> str:
    r"""`text` without the backslashes of `\,` `\|` `\$` and `\\`; any other backslash is a character like others."""
    if "\\" not in text:
        return text
    return re.sub(r"\\([,|$\\])", r"\1", text)


def _split(text: str, mark: str) -> list[str]:
    if "\\" not in text:
        return text.split(mark)
    parts, start, at = [], 0, 0
    while at < len(text):
        if text[at] == "\\":
            at += 2
            continue
        if text[at] == mark:
            parts.append(text[start:at])
            start = at + 1
        at += 1
    return [*parts, text[start:]]


def tokens(param: Param, raw: str, context: Context) -> tuple[Value, ...]:
    """`code`, `system|code`, `|code` or `system|` (https://hl7.org/fhir/R4/search.html#token)."""
    parts = [unescaped(part) for part in _split(raw, "|")]
    if len(parts) > 2:
        raise Wrong(f'a token with {len(parts)} parts: expected "code" or "system|code", with \\| for a bar in a value')
    system = canonical_system(parts[0]) if len(parts) == 2 else None
    code = parts[-1] or None
    if code is None and not system:
        raise Wrong('a token without system and code: expected "code", "system|code", "|code" or "system|"')
    return _TOKENS.get(param.shape, _plain_token)(param, system, code)


def _plain_token(param: Param, system: str | None, code: str | None) -> tuple[Value, ...]:
    return (Token(system, code),)


def _code_token(param: Param, system: str | None, code: str | None) -> tuple[Value, ...]:
    """A code has no system of its own: that of its binding, or none, says nothing more than the code."""
    if system == "" or (system and system == param.system):
        system = None
    return (Token(system, code),)


def _boolean_token(param: Param, system: str | None, code: str | None) -> tuple[Value, ...]:
    if code not in ("true", "false") or system not in (None, "", "http://hl7.org/fhir/special-values"):
        raise Wrong('a value that is not a boolean: expected "true" or "false"')
    return (Token(None, code),)


def _uid_token(param: Param, system: str | None, code: str | None) -> tuple[Value, ...]:
    bare = bare_uid(code or "")
    if not is_uid(bare) or system not in (None, "", DICOM_UID):
        raise Wrong('a value that is not a DICOM UID: expected digits and dots, with or without "urn:oid:"')
    return (Token(None, bare),)


def _id_token(param: Param, system: str | None, code: str | None) -> tuple[Value, ...]:
    if system is not None or not code or not ID.match(code):
        raise Wrong("a value that is not an id: expected up to 64 letters, digits, dashes and dots")
    return (Token(None, code),)


def _identifier_token(param: Param, system: str | None, code: str | None) -> tuple[Value, ...]:
    if not code:
        return (Token(system, None),)
    if system:
        system, code = canonical(system, code)
        if not code:
            raise Wrong("an identifier without a value: expected one after the bar")
    found: tuple[Value, ...] = (Token(system, code),)
    if param.type == "ImagingStudy" and param.name == "identifier" and system is None and is_uid(code):
        found += (Token(DICOM_UID, OID + code),)
    return found


_TOKENS: dict[str, Callable[[Param, str | None, str | None], tuple[Value, ...]]] = {
    "code": _code_token,
    "boolean": _boolean_token,
    "exists": _boolean_token,
    "uid": _uid_token,
    "id": _id_token,
    "identifier": _identifier_token,
}


def of_type(param: Param, raw: str, context: Context) -> tuple[Value, ...]:
    """`system|code|value` of `:of-type`, https://hl7.org/fhir/R4/search.html#token."""
    parts = [unescaped(part) for part in _split(raw, "|")]
    if len(parts) != 3 or not all(parts):
        raise Wrong('a value that is not of the form of ":of-type": expected "system|code|value"')
    return (Typed(canonical_system(parts[0]), parts[1], parts[2]),)


def in_value_set(param: Param, raw: str, context: Context) -> tuple[Value, ...]:
    """The codes of one of our own value sets, named by its canonical URL."""
    codes = context.valuesets.get(unescaped(raw))
    if codes is None:
        raise Wrong(f'a value set that is not held here after ":in": {nearest(unescaped(raw), context.valuesets)}')
    if not codes:
        raise Wrong('a value set without codes after ":in": expected one that lists its codes')
    ordered = sorted(codes, key=lambda pair: (pair[0] or "", pair[1]))
    if param.shape == "code":
        return tuple(dict.fromkeys(v for system, code in ordered for v in _code_token(param, system, code)))
    return tuple(Token(canonical_system(system) if system else system, code) for system, code in ordered)


def identifier_of(param: Param, raw: str, context: Context) -> tuple[Value, ...]:
    """The token after `:identifier` of a reference: compared with Reference.identifier alone."""
    parts = [unescaped(part) for part in _split(raw, "|")]
    if len(parts) > 2 or not parts[-1]:
        raise Wrong('a value that is not an identifier: expected "value" or "system|value"')
    if len(parts) == 1:
        return (Token(None, parts[0]),)
    system, value = canonical(parts[0], parts[1])
    return (Token(system, value),)


def references(param: Param, raw: str, context: Context, only: str | None = None) -> tuple[Value, ...]:
    """`id`, `Type/id` or an absolute URL; `only` is the type named by a modifier."""
    text = unescaped(raw)
    if param.shape == "canonical" and "|" in text:
        return (Reference(None, None, text),)
    targets = (only,) if only else param.targets
    if ID.match(text):
        return (Reference(targets[0] if len(targets) == 1 else None, text),)
    found = place(text, context.base_url)
    if found is None:
        raise Wrong('a value that is not a reference: expected an id, "Type/id" or an absolute URL')
    kind, id, url = found
    if url is not None:
        return (Reference(None, None, url),)
    if targets and kind not in targets:
        raise Wrong(f"a reference to {shown(kind or '')}: expected one to {' or '.join(targets)}")
    return (Reference(kind, id),)


def dates(param: Param, raw: str, context: Context) -> tuple[Value, ...]:
    """A date with or without a prefix. `ap` reaches a tenth of the distance to now, to both sides."""
    prefix, text = _prefixed(unescaped(raw))
    # A plus sign that was not percent-encoded arrives as a space.
    text = _SPACED_OFFSET.sub(r"\1+\2", text)
    try:
        low, high = interval(text, context.zone)
    except ValueError:
        raise Wrong(
            "a value that is not a date: expected YYYY, YYYY-MM, YYYY-MM-DD or YYYY-MM-DDThh:mm[:ss][offset], "
            f"after one of the prefixes {', '.join(PREFIXES)} or none"
        ) from None
    if prefix == "ap":
        reach = max(low - context.at, context.at - high, 0) // 10
        low, high = low - reach, high + reach
    return (Range(prefix, low, high),)


def numbers(param: Param, raw: str, context: Context) -> tuple[Value, ...]:
    """A decimal at its own precision, https://hl7.org/fhir/R4/search.html#number; exact after gt, lt, ge, le, sa, eb.

    `ap` reaches a tenth of the value to both sides."""
    prefix, text = _prefixed(unescaped(raw))
    form = _NUMBER.match(text)
    if form is None:
        raise Wrong(
            "a value that is not a number: expected digits with or without a decimal point, "
            f"after one of the prefixes {', '.join(PREFIXES)} or none"
        )
    try:
        value = Decimal(text)
        exact = float(value)
    except (InvalidOperation, OverflowError):
        raise Wrong("a number beyond what can be held: expected a smaller one") from None
    if exact - exact != 0:
        raise Wrong("a number beyond what can be held: expected a smaller one")
    if prefix in ("gt", "lt", "ge", "le"):
        return (Range(prefix, exact, exact),)
    if prefix in ("sa", "eb"):
        return (Range("gt" if prefix == "sa" else "lt", exact, exact),)
    # The standard's own examples: 100 is 99.5 to 100.5, and 1e2 is 95 to 105.
    digits = len(form[3] or "") + (1 if form[4] is None else 2)
    half = Decimal(5).scaleb(int(form[4] or 0) - digits)
    if prefix == "ap":
        half = max(half, abs(value) / 10)
    return (Range(prefix, float(value - half), float(value + half)),)


def _prefixed(text: str) -> tuple[str, str]:
    found = _PREFIXED.match(text)
    if found is None or found[1] is None:
        return "eq", text
    prefix: str = found[1]
    if prefix not in PREFIXES:
        raise Wrong(f"the prefix {shown(prefix)} is not known: expected one of {', '.join(PREFIXES)} or none")
    return prefix, found[2]


def strings(param: Param, raw: str, context: Context) -> tuple[Value, ...]:
    """Text to begin with or to contain: something must be left when accents and punctuation are out of the way."""
    text = unescaped(raw)
    if not normalise(text):
        raise Wrong("text of punctuation alone: expected a letter or a digit")
    return (Text(text),)


def verbatim(param: Param, raw: str, context: Context) -> tuple[Value, ...]:
    """Text that is compared as it stands: a string under `:exact`."""
    return (Text(unescaped(raw)),)


def uris(param: Param, raw: str, context: Context) -> tuple[Value, ...]:
    """A URI as it stands."""
    text = unescaped(raw)
    if any(letter.isspace() for letter in text):
        raise Wrong("a value that is not a URI: expected one without spaces")
    return (Text(text),)


def truth(param: Param, raw: str, context: Context) -> tuple[Value, ...]:
    if raw not in ("true", "false"):
        raise Wrong('a value that is not a boolean after ":missing": expected "true" or "false"')
    return (raw == "true",)


Reader = Callable[[Param, str, Context], tuple[Value, ...]]

BY_KIND: dict[str, Reader] = {
    "token": tokens,
    "reference": references,
    "date": dates,
    "number": numbers,
    "string": strings,
    "uri": uris,
}

BY_MODIFIER: dict[str, Reader] = {
    "missing": truth,
    "exact": verbatim,
    "contains": strings,
    "text": strings,
    "of-type": of_type,
    "in": in_value_set,
    "identifier": identifier_of,
    "not": tokens,
}


def escaped(text: str) -> str:
    """`text` as a search parameter's value, https://hl7.org/fhir/R4/search.html#escaping."""
    for sign in "\\,|$":
        text = text.replace(sign, f"\\{sign}")
    return text
