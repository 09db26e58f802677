"""The yardstick, by the name under which its rate is known."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from benchmarks.harness.load import Request, request
from benchmarks.harness.world import World

NAME = "bare framework"


def bare(world: World, tokens: Mapping[str, str]) -> Iterator[Request]:
    """A Flask route with nothing behind it, in as many processes and threads of the same web server."""
    one = request("GET", "/health/ready", check=lambda body: body == {"status": "ready"})
    while True:
        yield one
