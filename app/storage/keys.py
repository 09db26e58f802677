"""How values become index keys: stable numbers for parameters, 64-bit hashes for codes, short marks for facts."""

from __future__ import annotations

import base64
import os
import time
from functools import lru_cache
from hashlib import blake2b

from app.fhir.registry import TYPES
from app.policy.model import Study

# Kinds for which "none stated" is a fact of its own: a deny must not be escaped by leaving the element out.
STATED_KINDS = ("modality", "code", "site", "label", "author", "related", "class")

SHORT = 500  # characters of an indexed text: PostgreSQL takes 2,700 bytes
EPOCH_US = 1_577_836_800_000_000  # 2020-01-01T00:00:00Z


@lru_cache(maxsize=4096)
def param_number(key: str) -> int:
    """The number of a search parameter ("Type.name"), the same for ever. A test shows that no two collide."""
    return int.from_bytes(blake2b(key.encode(), digest_size=4).digest(), "big") & 0x7FFFFFFF


@lru_cache(maxsize=1024)
def type_number(name: str) -> int:
    """The number of a resource type: the table's where the type is held here, else a negative one, the same for ever.
    A test shows that no two types of R4 collide."""
    held = TYPES.get(name)
    return held.code if held else -1 - (int.from_bytes(blake2b(name.encode(), digest_size=2).digest(), "big") & 0x7FFF)


def short(text: str) -> str:
    """`text`, or where it is longer than a b-tree takes, its beginning and a hash of the whole."""
    if len(text) <= SHORT:
        return text
    return f"{text[:SHORT]}\x1f{blake2b(text.encode('utf-8', 'surrogatepass'), digest_size=16).hexdigest()}"


@lru_cache(maxsize=65536)
def code_hash(text: str) -> int:
    """A signed 64-bit hash."""
    return int.from_bytes(blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big", signed=True)


def pair_hash(system: str | None, code: str | None) -> int:
    return code_hash(f"{system or ''}|{code or ''}")


@lru_cache(maxsize=65536)
def fact_mark(kind: str, value: str | None) -> str:
    """One fact as a word of the `facts` column; value None marks that the study states none of the kind."""
    text = f"{kind}?" if value is None else f"{kind}={value}"
    return base64.urlsafe_b64encode(blake2b(text.encode(), digest_size=8).digest()).decode().rstrip("=")


def facts_column(study: Study) -> str:
    """The `facts` column: marks between spaces, sorted, so that one substring test finds one fact."""
    marks = {fact_mark("origin", org) for org in study.origins}
    for kind in STATED_KINDS:
        stated = study.facts.get(kind)
        marks |= {fact_mark(kind, value) for value in stated} if stated else {fact_mark(kind, None)}
    return f" {' '.join(sorted(marks))} "


def new_rid() -> int:
    """A time-ordered number: microseconds since 2020, then 12 random bits."""
    return ((time.time_ns() // 1000 - EPOCH_US) << 12) | (int.from_bytes(os.urandom(2), "big") & 0xFFF)


def new_id() -> str:
    """A fresh resource id: 128 random bits in 26 lower-case characters."""
    return base64.b32encode(os.urandom(16)).decode().rstrip("=").lower()


def words(values: object) -> str:
    """A set of words as one searchable column."""
    return f" {' '.join(sorted(values))} " if values else " "  # type: ignore[call-overload]
