"""overload: a patient's studies asked for by three times as many connections as the server has places, each coming again at
once: the answers that are given, and that they are as fast as without. The others are refused, which is counted beside."""

from __future__ import annotations

import selectors
import time
from collections.abc import Iterator

from benchmarks.harness.load import Request, Wire
from benchmarks.harness.table import LOADED, Bench, Row, measured, percentiles

TIMES = 3
REFUSED = (429, 503)


def press(address: str, source: Iterator[Request], connections: int, seconds: float) -> tuple[list[float], int]:
    """Milliseconds of each answer that was given, and how many were refused. Raises AssertionError for any other answer."""
    chooser = selectors.DefaultSelector()
    took: list[float] = []
    refused = 0
    wires = [Wire(address) for _ in range(connections)]
    for wire in wires:
        chooser.register(wire.socket, selectors.EVENT_READ, wire)
        wire.send(next(source))
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        for key, _ in chooser.select(1.0):
            wire = key.data
            if not wire.receive():
                continue
            if wire.status in REFUSED:
                refused += 1
            else:
                took.append((time.perf_counter() - wire.began) * 1000)
                if fault := wire.fault():
                    raise AssertionError(fault)
            wire.send(next(source))
    for wire in wires:
        wire.socket.close()
    return took, refused


@measured("overload", "one patient's studies, asked for by three times as many as there are places")
def overload(bench: Bench) -> Row:
    site, settings = bench.site, bench.site.server.environment
    places = site.workers * (site.threads + int(settings.get("REGISTRY_WAITING", "32")))
    source = LOADED["search"].make(bench.world, site.tokens)
    calm, _ = press(site.address, source, site.workers * site.threads, bench.seconds / 2)
    took, refused = press(site.address, source, TIMES * places, bench.seconds)
    p50, p95, p99 = (round(one, 2) for one in percentiles(took))
    return Row(
        "overload",
        "one patient's studies, asked for by three times as many as there are places",
        rate=round(len(took) / bench.seconds, 1),
        number=len(took),
        p50=p50,
        p95=p95,
        p99=p99,
        value=round(len(took) / bench.seconds / (len(calm) / (bench.seconds / 2)), 2),
        unit="× of the rate without",
        notes={"connections": TIMES * places, "refused a second": round(refused / bench.seconds), "calm": len(calm)},
    )
