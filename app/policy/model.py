"""The facts a decision is made from, and the decision. Everything is immutable; instants are microseconds UTC.

An organisation is named by its key: `ods:` + canonical ODS code where it is known, else `Organization/` + id.
A practitioner is named `Practitioner/` + id, a patient `Patient/` + id, a study `ImagingStudy/` + id (a report that
names no study is judged as if it were one, `DiagnosticReport/` + id).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

ROLES = ("clinician", "clerical", "privacy", "patient", "system")
ACTIONS = ("discover", "read", "locate")


@dataclass(frozen=True, slots=True)
class Requester:
    """Who asks. `tree` holds the keys of the organisation itself and of those that count as it (P7)."""

    organisation: str | None
    tree: frozenset[str] = frozenset()
    practitioner: str | None = None
    role: str = "system"
    client: str | None = None
    groups: frozenset[str] = frozenset()  # Group/…, CareTeam/… the requester belongs to at the instant of asking
    groups_until: int | None = None  # when that next changes
    ancestors: frozenset[str] = (
        frozenset()
    )  # for consent actors: organisations above the requester's, or succeeded by it
    auth_time: int | None = None
    patient: str | None = None  # for the patient's own channel
    credential_until: int | None = None

    def among(self, groups: frozenset[str], until: int | None) -> Requester:
        """The same requester as one of these groups, until that changes."""
        return replace(self, groups=groups, groups_until=until)


@dataclass(frozen=True, slots=True)
class Request:
    requester: Requester
    purpose: str | None
    action: str = "read"
    patient: str | None = None  # the patient in context, where the request names one
    grant: str | None = None  # an emergency grant presented with the request


@dataclass(frozen=True, slots=True)
class Study:
    """What the policy may look at in a study. `facts` kinds: modality, code, site, label, author, related, class."""

    ref: str
    patient: str | None
    origins: frozenset[str] = frozenset()
    status: str = "available"
    started: tuple[int, int] | None = None  # [low, high) at the precision stated
    facts: Mapping[str, frozenset[str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Relationship:
    """Something that makes an organisation or a person part of the patient's care (policy step 9)."""

    source: str  # "EpisodeOfCare/e1"
    version: int
    kind: str  # episode | appointment | careteam | referral
    status: str  # the resource's own status; a referral's is status, then priority: "active/stat"
    patient: str
    orgs: frozenset[str] = frozenset()
    members: frozenset[str] = frozenset()
    start: int | None = None
    end: int | None = None  # exclusive


@dataclass(frozen=True, slots=True)
class EmergencyGrant:
    ref: str
    version: int
    practitioner: str
    organisation: str
    patient: str
    start: int
    end: int
    reason: str = ""
    revoked: bool = False


@dataclass(frozen=True, slots=True)
class Decision:
    """PERMIT, DENY or REDACT, and why. `reasons` has the deciding one first; `expires` in microseconds UTC."""

    effect: str
    reasons: tuple[str, ...]
    obligations: tuple[str, ...] = ("AUDIT",)
    basis: tuple[str, ...] = ()  # "Consent/c1/_history/2", …
    expires: int | None = None
    policy: str = ""

    @property
    def permitted(self) -> bool:
        return self.effect in ("PERMIT", "REDACT")
