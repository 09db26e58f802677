"""Reads `fhir_profiles/`: what is enforced on every write, and published at the conformance types."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import orjson

from app.fhir.constraints import Options
from app.fhir.profiles import Profiles, load
from app.fhir.registry import TYPES
from app.fhir.validate import Validator

FOLDER = Path(__file__).parents[1] / "fhir_profiles"

Published = Mapping[str, Mapping[str, dict[str, Any]]]


@cache
def profiles() -> Profiles:
    """The definitions, compiled. Raises NotEnforceable or NotExpandable for one that cannot be enforced."""
    return load(
        orjson.loads(path.read_bytes()) for path in sorted(FOLDER.rglob("*.json")) if "examples" not in path.parts
    )


@cache
def validator(options: Options = Options()) -> Validator:
    """What every write is held against, with a region's choices. One for all that share them."""
    return Validator(profiles(), options)


def value_sets() -> Mapping[str, frozenset[tuple[str, str]]]:
    """The (system, code) pairs of each value set of our own, by its canonical URL."""
    return profiles().value_sets


def forms() -> tuple[dict[str, Any], ...]:
    """The Questionnaires of our own."""
    return tuple(dict(one) for one in profiles().documents if one["resourceType"] == "Questionnaire")


@cache
def published() -> Published:
    """Type to id to resource, for each conformance type that the server has."""
    found: dict[str, dict[str, dict[str, Any]]] = {
        name: {} for name, row in TYPES.items() if row.visibility == "conformance"
    }
    for one in profiles().documents:
        if one["resourceType"] in found:
            found[one["resourceType"]][one["id"]] = dict(one)
    return found
