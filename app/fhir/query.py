"""A parsed search, as data: what `fhir.search.parse` makes and what `storage.search` and `fhir.index.matches` read.

https://hl7.org/fhir/R4/search.html. Instants are microseconds UTC; a range is [low, high), None for unbounded.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Param:
    """A search parameter of one type, from the table in `fhir.registry`.

    kind: token | reference | date | string | uri | number | special. `paths` are dotted element paths from the
    resource; a step may filter (`telecom[system=email]`) and a choice is written as in JSON (`effectivePeriod`).
    `targets` are the types a reference may name, () for any. `shape` says what stands at the paths, within the kind:
    token: concept | code | boolean | identifier | contact | uid | exists | id; string: text | name | address;
    reference: reference | canonical. `system` is the code system that a bare code belongs to by its binding.
    """

    name: str
    kind: str
    paths: tuple[str, ...]
    targets: tuple[str, ...] = ()
    type: str = ""  # the resource type it belongs to; filled by the table
    shape: str = ""
    system: str = ""
    definition: str = ""  # canonical URL of its SearchParameter

    @property
    def key(self) -> str:
        return f"{self.type}.{self.name}"


@dataclass(frozen=True, slots=True)
class Token:
    """`system|code`. system None: any; "": none (`|code`). code None: any code of the system (`system|`)."""

    system: str | None
    code: str | None


@dataclass(frozen=True, slots=True)
class Typed:
    """`:of-type`: an Identifier by its type coding and value."""

    system: str
    code: str
    value: str


@dataclass(frozen=True, slots=True)
class Reference:
    """`type` None where only an id was given and several targets exist. `url` for an absolute reference elsewhere."""

    type: str | None
    id: str | None
    url: str | None = None


@dataclass(frozen=True, slots=True)
class Range:
    """A date or number with its prefix: eq ne gt lt ge le sa eb ap. [low, high) is the value's own precision.

    For `ap` it is already widened. A number under gt lt ge le is exact (low == high), and sa and eb come as gt and lt.
    """

    prefix: str
    low: float | int
    high: float | int


@dataclass(frozen=True, slots=True)
class Text:
    """A string, uri or `:text` value as given; storage compares `fhir.index.normalise(text)` unless `:exact`."""

    text: str


Value = Token | Typed | Reference | Range | Text | bool


@dataclass(frozen=True, slots=True)
class Clause:
    """param[:modifier] = any of `values`. modifier `missing` has one bool. `values` are alternatives (OR)."""

    param: Param
    modifier: str | None
    values: tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class Chain:
    """param:Target.rest: the resource refers by `param` to a `target` for which `rest` holds."""

    param: Param
    target: str
    rest: Condition


@dataclass(frozen=True, slots=True)
class Has:
    """_has:Type:param:rest: some `type` refers to this resource by `param`, and `rest` holds for it."""

    type: str
    param: Param
    rest: Condition


@dataclass(frozen=True, slots=True)
class AnyOf:
    """Alternatives of conditions: a chain whose target type was not named and may be several."""

    parts: tuple[Condition, ...]


Condition = Clause | Chain | Has | AnyOf


@dataclass(frozen=True, slots=True)
class Include:
    """_include / _revinclude: `source`.`param` → `target` (None: any target). `reverse` for _revinclude."""

    source: str
    param: Param
    target: str | None
    reverse: bool = False
    iterate: bool = False


@dataclass(frozen=True, slots=True)
class Sort:
    param: Param
    descending: bool


@dataclass(frozen=True, slots=True)
class Query:
    """One search on one type. `where` conditions are all to hold (AND). `applied` is the query as it was understood,
    in order, for the self link; `ignored` names what lenient handling dropped."""

    type: str
    where: tuple[Condition, ...] = ()
    sort: tuple[Sort, ...] = ()
    count: int = 20
    total: str = "none"  # none | estimate | accurate
    summary: str | None = None  # true | text | data | count | false
    elements: tuple[str, ...] = ()
    includes: tuple[Include, ...] = ()
    cursor: str | None = None
    applied: tuple[tuple[str, str], ...] = ()
    ignored: tuple[str, ...] = ()


@dataclass(slots=True)
class Index:
    """What `fhir.index.extract` finds in a resource: rows by parameter name, for storage to hash and keep.

    tokens (param, system, code, display) · identifiers (param, system, value, type system, type code) ·
    references (param, type, id, url, identifier system, identifier value) · dates (param, low, high) ·
    strings (param, text) · numbers (param, low, high) · uris (param, uri).
    """

    tokens: list[tuple[str, str | None, str | None, str | None]] = field(default_factory=list)
    identifiers: list[tuple[str, str | None, str, str | None, str | None]] = field(default_factory=list)
    references: list[tuple[str, str | None, str | None, str | None, str | None, str | None]] = field(
        default_factory=list
    )
    dates: list[tuple[str, int | None, int | None]] = field(default_factory=list)
    strings: list[tuple[str, str]] = field(default_factory=list)
    numbers: list[tuple[str, float, float]] = field(default_factory=list)
    uris: list[tuple[str, str]] = field(default_factory=list)
