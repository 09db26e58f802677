"""Non-interference, bounded: over generated registries, requesters and requests, on both databases.

The long run is `python -m tests.properties.noninterference`; benchmarks/README.md says what it found.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.properties.noninterference import Counted, Registry, compare, pair


@pytest.fixture(params=["sqlite", "postgresql"], scope="module")
def registries(
    request: pytest.FixtureRequest, module_database: Callable[[str], str]
) -> Iterator[tuple[Registry, Registry]]:
    with pair(lambda: module_database(request.param)) as both:
        yield both


@settings(max_examples=12)
@given(st.randoms(use_true_random=False))
def test_no_answer_tells_of_what_is_withheld(registries: tuple[Registry, Registry], chance: Random) -> None:
    compare(chance, registries, Counted(), 40)


def test_the_comparison_sees_a_difference(registries: tuple[Registry, Registry]) -> None:
    """Whoever compares must be able to fail: a registry that lacks one visible study is told apart."""
    from app.policy.switches import Switches
    from tests.properties.hidden_requests import Ask
    from tests.properties.hidden_worlds import World
    from tests.properties.noninterference import ASKERS
    from tests.support.region import endpoint, episode, organization, patient, study

    held = [organization("RXA"), organization("RXB"), patient(), endpoint(), episode(), study()]
    registries[0].hold(World(held, Switches()))
    registries[1].hold(World(held[:-1], Switches()))
    asked = Ask("GET", "/ImagingStudy?patient=p1")
    assert registries[0].answer(ASKERS[0], asked) != registries[1].answer(ASKERS[0], asked)
