"""Trace context, as it came and as it goes on: https://www.w3.org/TR/trace-context/.

One request has one trace, its caller's or a new one; whatever is sent on the way carries it on. It holds nothing but
numbers of chance: `tracestate`, which may hold anything, ends here.
"""

from __future__ import annotations

import re
import secrets
from contextvars import ContextVar

HEADER = "traceparent"
_FORM = re.compile(r"(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-([0-9a-f]{2})(-.*)?\Z", re.ASCII)
_trace: ContextVar[tuple[str, str] | None] = ContextVar("trace", default=None)  # its id, and whether it is sampled


def begin(given: str | None) -> None:
    """A request begins: its trace is the one that it names, or a new one."""
    found = _FORM.match(given or "") if len(given or "") <= 256 else None
    if found is None or (found[1] == "00" and found[4]):
        _trace.set((secrets.token_hex(16), "00"))
    else:
        _trace.set((found[2], f"{int(found[3], 16) & 1:02x}"))


def end() -> None:
    """The request is over: what this thread does next is of no trace."""
    _trace.set(None)


def current() -> str:
    """The id of the trace; empty outside of a request."""
    found = _trace.get()
    return found[0] if found else ""


def onward() -> dict[str, str]:
    """The header for something that is sent on the way; outside of a request of a trace of its own."""
    trace, sampled = _trace.get() or (secrets.token_hex(16), "00")
    return {HEADER: f"00-{trace}-{secrets.token_hex(8)}-{sampled}"}
