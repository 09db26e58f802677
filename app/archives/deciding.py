"""May the bearer of this token have the images of this study, now? What every gate and the proxy ask.

A permission says how long it may be kept unasked; a refusal is never kept. What it says of its reason is what policy
tells to anybody's face: of a patient's choices, care and studies nothing, so that a study that is withheld is answered
like one that never was. The full reasons are in the audit, under the decision's id.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from app.access import audit
from app.access.deciding import Asked, decide_one
from app.access.scopes import allows
from app.access.subject import Subject
from app.access.view import OF_REQUEST
from app.interactions import Services

SECOND = 1_000_000
ACTION = "locate"
PERMITTED, TOKEN_INVALID, OUT_OF_SCOPE, NOT_AVAILABLE = "PERMITTED", "TOKEN_INVALID", "OUT_OF_SCOPE", "NOT_AVAILABLE"

Verify = Callable[[str], Subject | None]


@dataclass(frozen=True, slots=True)
class Verdict:
    """`max_age`: whole seconds for which a permission may be kept."""

    allowed: bool
    decision_id: str
    reason: str
    max_age: int = 0

    def as_json(self) -> dict[str, Any]:
        return {
            "allowed": self.allowed,
            "decision_id": self.decision_id,
            "reason": self.reason,
            "max_age": self.max_age,
        }


@dataclass(frozen=True)
class Gatekeeper:
    """Decides for the gates of archives, for `through` (the gate's own client id, or the proxy)."""

    services: Services
    verify: Verify
    through: str
    address: str = ""
    request_id: str = ""

    def decide(
        self, token: str, asked: Asked, action: str = ACTION, also: Callable[[Subject], bool] | None = None
    ) -> Verdict:
        """The decision, in the audit already. `also` is asked of whoever bears the token, before any study is looked at."""
        subject = self.verify(token) if token else None
        if subject is None:
            return self._refused(None, TOKEN_INVALID)
        subject = replace(subject, address=self.address)
        # A gate's own token proves the gate, and asks for nobody.
        if subject.decision_point or not allows(subject, "ImagingStudy", "read"):
            return self._refused(subject, OUT_OF_SCOPE)
        if also is not None and not also(subject):
            return self._refused(subject, NOT_AVAILABLE)
        return self.services.store.retry(
            lambda tx: self._verdict(
                tx.at,
                decide_one(
                    tx,
                    self.services.enforcement,
                    subject,
                    asked,
                    action,
                    detail=f"archive {self.through}",
                    request_id=self.request_id,
                ),
                subject.expires,
            )
        )

    def _verdict(self, at: int, answered: Any, until: int | None) -> Verdict:
        decision = answered.decision
        if not decision.permitted:
            first = decision.reasons[0] if decision.reasons else NOT_AVAILABLE
            return Verdict(False, answered.id, first if first in OF_REQUEST else NOT_AVAILABLE)
        ends = [one for one in (decision.expires, until) if one is not None]
        left = min((one - at for one in ends), default=0)
        return Verdict(True, answered.id, PERMITTED, max(0, min(self.services.settings.gate_seconds, left // SECOND)))

    def _refused(self, subject: Subject | None, reason: str) -> Verdict:
        """What is refused before any study is looked at. It is recorded, too."""
        id = str(uuid.uuid4())
        self.services.store.retry(
            lambda tx: audit.noted(
                tx,
                "operation",
                status=403,
                subject=subject,
                detail=f"archive {self.through}: {reason}",
                request_id=self.request_id,
                address=self.address,
            )
        )
        return Verdict(False, id, reason)
