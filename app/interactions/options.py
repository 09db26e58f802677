"""The parameters of an operation or history that is asked by GET: each at most once, none that is not known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from app.fhir.outcome import Fault

SHAPING = ("_format", "_pretty")
DIGITS = 6  # nobody counts further here; and what int() takes has an end


def once_each(pairs: Sequence[tuple[str, str]], known: Sequence[str], *, apart: str = "") -> dict[str, str]:
    """What is given for each of `known`. `apart` is known too, and not told of. Raises Fault invalid with the name."""
    given: dict[str, str] = {}
    for name, value in pairs:
        if name in SHAPING:
            continue
        if name not in (*known, apart) or name in given:
            raise Fault("invalid", f"not known here, or given twice; expected one each of {', '.join(known)}", name)
        given[name] = value
    return given


def counted(given: Mapping[str, str], otherwise: int, most: int, *, least: int = 1, clamped: bool = True) -> int:
    """`_count`, or `otherwise` without it. More than `most` is `most`, or wrong where it is not to be `clamped`. Raises
    Fault invalid."""
    text = given.get("_count", str(otherwise))
    number = int(text) if text.isascii() and text.isdecimal() and len(text) <= DIGITS else -1
    if number < 0 or (not clamped and not least <= number <= most):
        raise Fault("invalid", f"not a number that can be; expected one from {least} to {most}", "_count")
    return max(least, min(number, most))
