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
from app.access.deciding import Answered, Asked, decide_one
from app.access.presenting import presenting
from app.access.scopes import allows
from app.access.subject import Subject
from app.access.view import OF_REQUEST
from app.fhir.outcome import Fault
from app.interactions import Services
from app.storage import oauth
from app.storage.engine import Tx

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


class Gone(Exception):
    """The gate that asks is not registered any more, or not with the secret that it proved itself by before."""


@dataclass(frozen=True)
class Gatekeeper:
    """Decides for the gates of archives, for `through` (the gate's own client id, or the proxy).

    `claimed` reads a token; whether it is good still is asked in the decision's own transaction, where it can be. So is
    whether `gate`, a client and its secret's hash as it was, is in use still."""

    services: Services
    claimed: Verify
    through: str
    address: str = ""
    request_id: str = ""
    gate: tuple[str, str] | None = None

    def decide(
        self,
        token: str,
        asked: Asked,
        action: str = ACTION,
        also: Callable[[Subject], bool] | None = None,
        emergency: str = "",
    ) -> Verdict:
        """The decision, in the audit already. `also` is asked of whoever bears the token, before any study is looked at;
        `emergency`: the emergency grant that they present. Raises Gone."""
        subject = self.claimed(token) if token else None
        if subject is not None and emergency:
            subject = presenting(self.services.enforcement.switches, subject, emergency)
        try:
            return self.services.store.retry(lambda tx: self._decided(tx, subject, asked, action, also))
        except Fault as fault:
            if fault.kind != "login":
                raise
            return self.services.store.retry(lambda tx: self._refused(tx, None, TOKEN_INVALID))

    def _decided(
        self, tx: Tx, subject: Subject | None, asked: Asked, action: str, also: Callable[[Subject], bool] | None
    ) -> Verdict:
        if self.gate is not None:
            oauth.ask_secret(tx, self.gate[0], self._told)
        if subject is not None and subject.standing is not None:
            subject.standing.ask(tx)
        if subject is None:
            return self._refused(tx, None, TOKEN_INVALID)
        subject = replace(subject, address=self.address)
        # A gate's own token proves the gate, and asks for nobody.
        if subject.decision_point or not allows(subject, "ImagingStudy", "read"):
            return self._refused(tx, subject, OUT_OF_SCOPE)
        if also is not None and not also(subject):
            return self._refused(tx, subject, NOT_AVAILABLE)
        answered = decide_one(
            tx,
            self.services.enforcement,
            subject,
            asked,
            action,
            detail=f"archive {self.through}",
            request_id=self.request_id,
        )
        return self._verdict(tx.at, answered, subject.expires)

    def _told(self, hash: str | None) -> None:
        if self.gate is None or hash != self.gate[1]:
            raise Gone

    def _verdict(self, at: int, answered: Answered, until: int | None) -> Verdict:
        decision = answered.decision
        if not decision.permitted:
            first = decision.reasons[0] if decision.reasons else NOT_AVAILABLE
            return Verdict(False, answered.id, first if first in OF_REQUEST else NOT_AVAILABLE)
        ends = [one for one in (decision.expires, until) if one is not None]
        left = min((one - at for one in ends), default=0)
        return Verdict(True, answered.id, PERMITTED, max(0, min(self.services.settings.gate_seconds, left // SECOND)))

    def _refused(self, tx: Tx, subject: Subject | None, reason: str) -> Verdict:
        """What is refused before any study is looked at. It is recorded, too."""
        tx.settle()  # a token that is good no more is that, and nothing else
        audit.noted(
            tx,
            "operation",
            status=403,
            subject=subject,
            detail=f"archive {self.through}: {reason}",
            request_id=self.request_id,
            address=self.address,
        )
        return Verdict(False, str(uuid.uuid4()), reason)
