"""An import on several processors: lines that have to do with each other go to one process, the others side by side.

A window of lines is loaded whole before the next begins, so that what stands later in a file is stored later, and an
import that breaks off knows how far it came.
"""

from __future__ import annotations

import base64
import gc
import os
import re
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from functools import partial
from hashlib import blake2b
from multiprocessing import get_context
from typing import Any

import orjson

from app.fhir.outcome import Fault
from app.fhir.resource import parse
from app.interactions import Asked, Services
from app.interactions.loading import BATCH, Report, load

WORTH_IT = 4_000_000  # bytes; a smaller import is done before other processes have started
PARTS = 2  # of a window for each process, so that none waits long for the last

_REFERENCE = re.compile(rb'"reference"\s*:\s*"([A-Za-z]+/[A-Za-z0-9.-]+)')
# How most lines begin; a second resourceType or id further on would be refused.
_HEAD = re.compile(rb'\s*{\s*"resourceType"\s*:\s*"([A-Za-z]+)"\s*,\s*"id"\s*:\s*"([A-Za-z0-9.-]+)"')

Window = Sequence[bytes]
Parts = list[list[int]]  # numbers of the window's lines
Loaded = Callable[[], Report]  # waits for what was begun, if it is not done here and now


class Crew:
    """Loads windows of lines. `window` is how many lines one has."""

    def __init__(self, services: Services, asked: Asked, batch: int, pool: ProcessPoolExecutor | None, processes: int):
        self._services, self._asked, self._batch, self._pool = services, asked, batch, pool
        self._parts = processes * PARTS if pool else 1
        self.window = batch * self._parts

    def divided(self, window: Window) -> Parts:
        """How the lines go to the processes: told before it is their turn, so that none waits for that."""
        return apart(window, self._parts) if self._pool is not None else []

    def begin(self, window: Window, parts: Parts) -> Loaded:
        """Begin to load the lines, as they were `divided`; what is refused is numbered as in the window."""
        if self._pool is None:
            return partial(_load, self._services, self._asked, window, self._batch)
        pending = [self._pool.submit(_part, self._asked, [window[n] for n in part], self._batch) for part in parts]

        def done() -> Report:
            whole = Report(done=len(window))
            for part, future in zip(parts, pending, strict=True):
                found = future.result()
                whole.created += found.created
                whole.updated += found.updated
                whole.unchanged += found.unchanged
                whole.refused += [(part[number], issues) for number, issues in found.refused]
            whole.refused.sort(key=lambda one: one[0])
            return whole

        return done


@contextmanager
def crew(
    services: Services,
    asked: Asked,
    batch: int = BATCH,
    processes: int = 1,
    anew: Callable[[Any], Services] | None = None,
) -> Iterator[Crew]:
    """Processes to load with; this one alone where there is to be one. `anew` makes the services from their settings, in
    a process of its own; it is a function that is known by its name."""
    if processes < 2 or anew is None:
        yield Crew(services, asked, batch, None, 1)
        return
    context = get_context("spawn")
    with ProcessPoolExecutor(processes, context, _ready, (anew, services.settings)) as pool:
        for ready in [pool.submit(os.getpid) for _ in range(processes)]:
            ready.result()
        yield Crew(services, asked, batch, pool, processes)


def read(line: bytes) -> dict[str, Any] | bytes:
    """The resource of a line, with an id made of the line if it has none; one that cannot be read is left to be refused."""
    try:
        resource = parse(line)
    except Fault:
        return line
    if "id" not in resource:
        resource["id"] = base64.b32encode(blake2b(line.strip(), digest_size=16).digest()).decode().rstrip("=").lower()
    return resource


def apart(window: Window, most: int) -> Parts:
    """The numbers of the lines in at most so many parts, of about one size; lines of which one names the other, or that
    are of one resource, are in the same."""
    leads: list[int] = list(range(len(window)))

    def root(number: int) -> int:
        while leads[number] != number:
            leads[number] = number = leads[leads[number]]
        return number

    owns: dict[str, int] = {}
    for number, line in enumerate(window):
        if (own := _own(line)) is not None:
            leads[root(number)] = root(owns.setdefault(own, number))
    for number, line in enumerate(window):
        for name in set(_REFERENCE.findall(line)):
            if (there := owns.get(name.decode())) is not None:
                leads[root(number)] = root(there)
    together: dict[int, list[int]] = {}
    for number in range(len(window)):
        together.setdefault(root(number), []).append(number)
    parts: Parts = [[] for _ in range(most)]
    for group in sorted(together.values(), key=len, reverse=True):
        min(parts, key=len).extend(group)
    return [sorted(part) for part in parts if part]


def _own(line: bytes) -> str | None:
    if (plain := _HEAD.match(line)) is not None:
        return f"{plain[1].decode()}/{plain[2].decode()}"
    try:
        resource = orjson.loads(line)
        return f"{resource['resourceType']}/{resource['id']}"
    except (ValueError, TypeError, KeyError):
        return None


def _load(services: Services, asked: Asked, lines: Window, batch: int) -> Report:
    return load(services, asked, map(read, lines), batch=batch)


# In a process of the pool ----------------------------------------------------------------------------------------

_services: Services | None = None


def _ready(anew: Callable[[Any], Services], settings: Any) -> None:
    global _services
    _services = anew(settings)
    # Resources are trees, and go when they are done with: to look for circles among them again and again is in vain.
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 50, 100)


def _part(asked: Asked, lines: Window, batch: int) -> Report:
    assert _services is not None
    return _load(_services, asked, lines, batch)
