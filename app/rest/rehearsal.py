"""What a client meets where a source is slow, for trying it out: the first search for studies is put off, the same one is
answered once its time has come. https://www.rfc-editor.org/rfc/rfc9110#field.retry-after

REGISTRY_SLOW_SOURCE sets it. It is decided before anything is looked at, so that it tells nothing of anybody.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable
from hashlib import blake2b

from app.fhir.outcome import Fault

MOST = 1000  # requests remembered, each process its own
SECOND = 1_000_000


class Rehearsal:
    """`seconds` 0 rehearses nothing; `clock` gives microseconds."""

    def __init__(self, seconds: int, clock: Callable[[], int]) -> None:
        self.wait = seconds * SECOND
        self.clock = clock
        self.begun: OrderedDict[bytes, int] = OrderedDict()

    def slow(self, type_name: str, *request: str) -> None:
        """Raises Fault transient with Retry-After until a request for studies, as it was first made, has waited."""
        if not self.wait or type_name != "ImagingStudy":
            return
        name = blake2b("\0".join(request).encode(), digest_size=16).digest()
        now = self.clock()
        left = self.begun.setdefault(name, now) + self.wait - now
        if len(self.begun) > MOST:
            self.begun.popitem(last=False)
        if left > 0:
            seconds = str(math.ceil(left / SECOND))
            text = "a source answers slowly; expected the same request again after the seconds in Retry-After"
            raise Fault("transient", text, headers={"Retry-After": seconds})
