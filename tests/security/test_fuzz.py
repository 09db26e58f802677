"""Malformed requests to every parser, bounded: `python -m tests.security.fuzz` goes on for long."""

from __future__ import annotations

from random import Random

import pytest

from tests.security.fuzz import fuzzing


@pytest.mark.attack(76, 77)
def test_malformed_requests_are_refused_in_words_quickly_and_leave_nothing(database_url: str) -> None:
    with fuzzing(database_url, Random(20260310)) as fuzzer:
        found = fuzzer.run(400)
    assert found.wrong == []
    assert found.status["400"] > 50 and found.status["200"] > 20
    assert {"401", "403", "404", "422", "file"} <= set(found.status)
