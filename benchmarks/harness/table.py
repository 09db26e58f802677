"""The table of figures. Each file of `figures/` puts its own in, by one of two decorators, and that is all there is to do.

`under_load`: the function yields requests, which are sent over so many connections in turns with all other such figures.
`measured`: the function does the measuring itself, and returns what it found.

A figure with a fault (an answer that was wrong or did not come) has no other value, and the run as a whole has failed.
"""

from __future__ import annotations

import importlib
import pkgutil
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.harness.load import Generator, Request
from benchmarks.harness.site import Site
from benchmarks.harness.world import World

# When a figure is measured: before anything has been asked, or when the load is over.
FRESH, AFTER = "fresh", "after"


@dataclass(frozen=True)
class Target:
    """What is wanted, in words, and whether a row has it."""

    text: str
    met: Callable[[Row], bool]


def at_least(rate: float) -> Target:
    return Target(f"≥ {rate:,.0f}/s", lambda row: (row.rate or 0) >= rate)


def at_most(value: float, unit: str) -> Target:
    return Target(f"≤ {value:g} {unit}", lambda row: row.value is not None and row.value <= value)


@dataclass
class Row:
    """One line of the result. Times in milliseconds; `share` of the bare framework's rate; `web` and `database`: microseconds
    of processor time for a request; `value` in `unit`."""

    figure: str
    what: str
    rate: float | None = None
    p50: float | None = None
    p95: float | None = None
    p99: float | None = None
    share: float | None = None
    web: float | None = None
    database: float | None = None
    value: float | None = None
    unit: str = ""
    number: int = 0
    target: str = ""
    met: bool | None = None
    fault: str = ""
    notes: dict[str, Any] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Bench:
    """What a measuring function is given: the site, an empty folder, a load, and a way to get an empty database."""

    site: Site
    folder: Path
    generator: Generator
    seconds: float
    empty_database: Callable[[], str]

    @property
    def world(self) -> World:
        return self.site.world


Make = Callable[[World, Mapping[str, str]], Iterator[Request]]
Measure = Callable[[Bench], Row | Sequence[Row]]


@dataclass(frozen=True)
class Loaded:
    """A figure under load. `grows`: also measured at smaller sizes when growth is asked for. `after` sees to what was made."""

    name: str
    what: str
    make: Make
    target: Target | None = None
    connections: int = 8
    grows: bool = False
    after: Callable[[Site], dict[str, Any]] | None = None


@dataclass(frozen=True)
class Measured:
    name: str
    what: str
    measure: Measure
    when: str = AFTER
    target: Target | None = None


LOADED: dict[str, Loaded] = {}
MEASURED: dict[str, Measured] = {}


def under_load(name: str, what: str, target: Target | None = None, **more: Any) -> Callable[[Make], Make]:
    def put(make: Make) -> Make:
        LOADED[name] = Loaded(name, what, make, target, **more)
        return make

    return put


def measured(name: str, what: str, target: Target | None = None, when: str = AFTER) -> Callable[[Measure], Measure]:
    def put(measure: Measure) -> Measure:
        MEASURED[name] = Measured(name, what, measure, when, target)
        return measure

    return put


def collect() -> tuple[str, ...]:
    """Import every file of figures; the names of all there are."""
    from benchmarks import figures

    for module in pkgutil.iter_modules(figures.__path__):
        importlib.import_module(f"{figures.__name__}.{module.name}")
    return (*LOADED, *MEASURED)


def percentiles(times: Sequence[float]) -> tuple[float, float, float]:
    """p50, p95, p99 of at least one time."""
    if len(times) < 2:
        return (times[0],) * 3
    points = statistics.quantiles(times, n=100, method="inclusive")
    return points[49], points[94], points[98]


def judged(row: Row, target: Target | None) -> Row:
    if target is not None and not row.target:
        row.target, row.met = target.text, target.met(row)
    return row
