"""Which Consents concern the sharing of imaging at all: Consent.scope and the policy domain.

https://hl7.org/fhir/R4/consent-definitions.html#Consent.scope. A scope that cannot be read is not a reason to overlook
a refusal: it makes the Consent indeterminate.
"""

from __future__ import annotations

from typing import Any

from app.policy.coding import codings, listed
from app.policy.switches import Switches

PRIVACY = "patient-privacy"
UNREADABLE = "?"
OTHERS = frozenset({"adr", "research", "treatment"})


def concerns_privacy(scope: object) -> bool | None:
    """True for patient-privacy, False for another scope of R4, None when neither can be told."""
    codes = [code for _, code in codings(scope)]
    if PRIVACY in codes:
        return True
    return False if codes and OTHERS.issuperset(codes) else None


def domain_of(resource: dict[str, Any]) -> tuple[str, ...]:
    """The policies under which the choice was made: the Consent.policy.uri values. One that cannot be read is `?`."""
    if "policy" not in resource:
        return ()
    policies = [
        one.get("uri", one.get("authority")) if isinstance(one, dict) else None for one in listed(resource["policy"])
    ]
    return tuple(sorted({uri if isinstance(uri, str) and uri else UNREADABLE for uri in policies or [None]}))


def applies(domain: tuple[str, ...], switches: Switches) -> bool:
    """Whether a choice made under these policies acts here. One that names none always does."""
    return not domain or UNREADABLE in domain or not switches.domains or not set(domain).isdisjoint(switches.domains)
