"""A Consent compiled to rules when it is written, so that a decision parses nothing.

https://hl7.org/fhir/R4/consent.html; README.md, 4.5 to 4.8. What the compiler cannot understand is kept
as a mark that makes every decision about the patient a refusal with an alert (step 8): a refusal must never vanish
because it could not be read. The work is linear in the size of the Consent, and its depth and number are bounded.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import orjson

from app.fhir.temporal import interval
from app.policy import criteria, scope
from app.policy.coding import codings, listed
from app.policy.criteria import Reader
from app.policy.provision import Provision

FORMAT = 1  # of as_json; what another format wrote is not understood, and so refuses
DEEPEST = 4  # the root is 1
MOST = 1_000

STATUSES = frozenset({"draft", "proposed", "active", "rejected", "inactive", "entered-in-error"})
BASES = {"OPTIN": True, "OPTOUT": False, "EMRGONLY": False}
EMERGENCIES = Provision(True, purposes=frozenset({"ETREAT", "BTG"}))

Resolve = Callable[[str], str | None]


@dataclass(frozen=True, slots=True)
class Directive:
    """One Consent. `faults`: what could not be understood. `issued`: [low, high) of dateTime. `own`: the patient's own
    choice, not a proxy's. `unfiltered`: the root has no criteria. `moments`: when any part of it starts or ends.
    `doubts`: what it can be judged without, and somebody must put right."""

    source: str
    version: int
    patient: str | None
    status: str
    concerns: bool
    domain: tuple[str, ...]
    issued: tuple[int, int] | None
    own: bool
    verified: bool
    low: int | None
    high: int | None
    root: Provision
    unfiltered: bool
    faults: tuple[str, ...] = ()
    moments: tuple[int, ...] = ()
    doubts: tuple[str, ...] = ()

    @property
    def basis(self) -> str:
        return f"{self.source}/_history/{self.version}"

    def as_json(self) -> dict[str, Any]:
        return {
            "format": FORMAT,
            "source": self.source,
            "version": self.version,
            "patient": self.patient,
            "status": self.status,
            "concerns": self.concerns,
            "domain": list(self.domain),
            "issued": list(self.issued) if self.issued else None,
            "own": self.own,
            "verified": self.verified,
            "period": [self.low, self.high],
            "root": self.root.as_json(),
            "unfiltered": self.unfiltered,
            "faults": list(self.faults),
            "moments": list(self.moments),
            "doubts": list(self.doubts),
        }

    @classmethod
    def from_json(
        cls, data: str | bytes | dict[str, Any], source: str | None = None, version: int | None = None
    ) -> Directive:
        """What `as_json` wrote. `source` and `version` are those of the row that holds it. Anything else gives a
        directive that refuses."""
        try:
            read = data if isinstance(data, dict) else orjson.loads(data)
            if read["format"] != FORMAT:
                raise ValueError("another format")
            return cls(
                source or read["source"],
                read["version"] if version is None else version,
                read["patient"],
                read["status"],
                read["concerns"],
                tuple(read["domain"]),
                tuple(read["issued"]) if read["issued"] else None,
                read["own"],
                read["verified"],
                read["period"][0],
                read["period"][1],
                Provision.from_json(read["root"]),
                read["unfiltered"],
                tuple(read["faults"]),
                tuple(read["moments"]),
                tuple(read["doubts"]),
            )
        except (ValueError, KeyError, TypeError, IndexError, AttributeError):
            return unreadable(source or "Consent/unknown", version or 0, "FORMAT")


def unreadable(source: str, version: int, *faults: str) -> Directive:
    """A choice of which nothing is known but that it is there."""
    return Directive(
        source, version, None, "active", True, (), None, False, False, None, None, Provision(False), False, faults
    )


def compile_consent(resource: dict[str, Any], resolve: Resolve, zone: str) -> Directive:
    """The rules of a Consent. Never raises for parsed JSON; `resolve` tells what a reference stands for."""
    meta = resource.get("meta")
    version = meta.get("versionId") if isinstance(meta, dict) else None
    faults: list[str] = []
    if _modified(resource):
        faults.append("MODIFIER")
    status = resource.get("status")
    if not isinstance(status, str) or status not in STATUSES:
        faults.append("STATUS")
        status = "active"
    concerns = scope.concerns_privacy(resource.get("scope"))
    if concerns is None:
        faults.append("SCOPE")
    patient = _patient(resource.get("patient"), resolve)
    root = resource.get("provision", {})
    if not isinstance(root, dict):
        faults.append("PROVISION")
        root = {}
    low, high, readable = criteria.period(root, zone)
    if not readable:
        faults.append("PERIOD")
    reader = Reader(resolve, zone, patient, _contained(resource), faults)
    tree = _root(resource, root, reader)
    return Directive(
        source=f"Consent/{resource.get('id')}",
        version=int(version) if isinstance(version, str) and version.isascii() and version.isdigit() else 1,
        patient=patient,
        status=status,
        concerns=concerns is not False,
        domain=scope.domain_of(resource),
        issued=_issued(resource.get("dateTime"), zone),
        own=_own(resource, patient, resolve),
        verified=_verified(resource.get("verification")),
        low=low,
        high=high,
        root=tree,
        unfiltered=not any(name in root for name in criteria.FILTERS) and criteria.KNOWN.issuperset(root),
        faults=tuple(dict.fromkeys(faults)),
        moments=tuple(sorted({moment for moment in (low, high, *tree.moments()) if moment is not None})),
        doubts=tuple(dict.fromkeys(reader.doubts)),
    )


def _root(resource: dict[str, Any], root: dict[str, Any], reader: Reader) -> Provision:
    """The tree of provisions: its base the root's type, else what policyRule stands for."""
    faults = reader.faults
    named = "type" in root
    rule = next((code for _, code in codings(resource.get("policyRule")) if code in BASES), None)
    if named:
        permit = _type(root["type"], faults)
    else:
        permit = BASES.get(rule or "", False)
        if rule is None:
            faults.append("NO_BASE")
    count = [0]
    tree = _tree({name: value for name, value in root.items() if name != "period"}, permit, reader, 1, count)
    if not named and rule == "EMRGONLY":
        return Provision(False, None, None, tree.actors, tree.purposes, tree.study, (*tree.children, EMERGENCIES))
    return tree


def _tree(node: dict[str, Any], permit: bool, reader: Reader, depth: int, count: list[int]) -> Provision:
    """`count` counts the provisions of the whole Consent; past the bounds nothing more is read."""
    faults = reader.faults
    count[0] += 1
    children: list[Provision] = []
    inner = node.get("provision", [])
    if not isinstance(inner, list) or ("provision" in node and not inner):
        faults.append("PROVISION")
        inner = []
    if inner and depth == DEEPEST:
        faults.append("DEPTH")
        inner = []
    for child in inner:
        if count[0] >= MOST:
            faults.append("TOO_MANY")
            break
        if not isinstance(child, dict) or "type" not in child:
            faults.append("NESTED_TYPE")
            count[0] += 1
            continue
        children.append(_tree(child, _type(child["type"], faults), reader, depth + 1, count))
    found = criteria.read(node, permit, reader)
    return Provision(permit, found.low, found.high, found.actors, found.purposes, found.study, tuple(children))


def _type(value: object, faults: list[str]) -> bool:
    if value != "permit" and value != "deny":
        faults.append("BAD_TYPE")
    return value == "permit"


def _modified(resource: dict[str, Any]) -> bool:
    """Something in the Consent changes its meaning in a way that is not understood. Contained resources and narrative
    are not part of the choice."""
    if "implicitRules" in resource or "_implicitRules" in resource:
        return True
    pending: list[Any] = [value for name, value in resource.items() if name not in ("contained", "text")]
    if "modifierExtension" in resource:
        return True
    while pending:
        one = pending.pop()
        if isinstance(one, dict):
            if "modifierExtension" in one:
                return True
            pending.extend(one.values())
        elif isinstance(one, list):
            pending.extend(one)
    return False


def _patient(reference: object, resolve: Resolve) -> str | None:
    if not isinstance(reference, dict):
        return None
    text = reference.get("reference")
    if isinstance(text, str) and text.startswith("Patient/"):
        return resolve(text) or "/".join(text.split("/")[:2])
    key = criteria.named(reference, Reader(resolve, "", None, {}))
    return key if key and key.startswith("Patient/") else None


def _own(resource: dict[str, Any], patient: str | None, resolve: Resolve) -> bool:
    """The patient is among those who made the choice; a choice that names nobody is taken for the patient's."""
    if "performer" not in resource:
        return True
    return patient is not None and any(_patient(one, resolve) == patient for one in listed(resource["performer"]))


def _verified(verification: object) -> bool:
    found = verification if isinstance(verification, list) else []
    return bool(found) and all(isinstance(one, dict) and one.get("verified") is True for one in found)


def _issued(text: object, zone: str) -> tuple[int, int] | None:
    try:
        return interval(text, zone) if isinstance(text, str) else None
    except ValueError:
        return None


def _contained(resource: dict[str, Any]) -> dict[str, dict[str, Any]]:
    found = [one for one in listed(resource.get("contained")) if isinstance(one, dict)]
    return {one["id"]: one for one in found if isinstance(one.get("id"), str)}
