"""An emergency grant presented with a request, by the header `Emergency-Grant` beside the token."""

from __future__ import annotations

from dataclasses import replace

from app.access.subject import Subject
from app.policy.switches import DIRECT_CARE, Switches

LONGEST = 64


def presenting(switches: Switches, subject: Subject, grant: str) -> Subject:
    """The subject with the grant of this id: the purpose is breaking the glass, where the token proves that it is care
    at all, and the request rests on that grant alone. Whether it is theirs, and good, is for the decision to say: the
    header opens nothing by itself."""
    care = subject.purpose in DIRECT_CARE or subject.purpose in switches.care_purposes
    return replace(subject, purpose="BTG" if care else subject.purpose, emergency=grant[:LONGEST])
