"""How a fault in a search is worded, and how much of what was asked may be shown again.

The name of a parameter is shown, a value never: it may be a person's identifier.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from difflib import get_close_matches

_SAFE = re.compile(r"[A-Za-z_*-][A-Za-z_:.*-]{0,79}\Z")


class Wrong(Exception):
    """One fault of a query, in words. Several become the issues of one Fault."""


class TooMuch(Wrong):
    """A query larger than is taken: refused whole, under lenient handling too."""


def shown(name: str) -> str:
    """`name` in quotes, if it can be nothing but a name."""
    return f'"{name}"' if _SAFE.match(name) else "(not a name)"


def nearest(name: str, known: Iterable[str]) -> str:
    """Half a sentence that says which known name is meant, or that there is none like it."""
    names = sorted(set(known))
    close = get_close_matches(name, names, n=1, cutoff=0.4)
    if close:
        return f'the nearest known is "{close[0]}"'
    listed = ", ".join(f'"{one}"' for one in names[:8]) or "none"
    return f"known are {listed}" + (" and others" if len(names) > 8 else "")
