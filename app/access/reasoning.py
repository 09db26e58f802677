"""Why, for the record: the decision about one person as it goes into the audit, and how the record of a refusal finds it."""

from __future__ import annotations

from app.policy.decide import Residual
from app.policy.grant import Grant, Reasoned
from app.policy.predicate import FALSE, always
from app.storage.engine import Tx

DECIDED = "decided"


def reasoned(one: Residual) -> Reasoned:
    """The decision about all studies of a person. Refusals name what they rest on as permissions do."""
    decisions = [decision for _, decision in one.cases]
    permitted = [decision for decision in decisions if decision.permitted]
    if one.permit == FALSE:
        effect = "DENY"
    elif always(one.permit):
        effect = "REDACT" if one.redact else "PERMIT"
    else:
        effect = "PARTIAL"
    basis = (item for decision in decisions for item in decision.basis if not item.startswith("policy:"))
    return Reasoned(
        effect,
        tuple(dict.fromkeys(reason for decision in decisions for reason in decision.reasons)),
        tuple(dict.fromkeys(basis)),
        tuple(dict.fromkeys(["AUDIT", *(duty for decision in permitted for duty in decision.obligations)])),
        min((decision.expires for decision in permitted if decision.expires is not None), default=None),
    )


def note(tx: Tx, grant: Grant) -> Grant:
    """Remember what was decided, so that a refusal on the way can be recorded as fully as an answer."""
    tx.memory[DECIDED] = grant
    return grant


def noted(tx: Tx) -> Grant | None:
    """What was last decided in this transaction."""
    found: Grant | None = tx.memory.get(DECIDED)
    return found
