"""OpenID AuthZEN Authorization API 1.0: https://openid.net/specs/authorization-api-1_0.html

What a request says, as data: the four parts with their defaults, and whom the subject stands for. Only a trusted
enforcement point (a client of kind `gate`) asks about others, and only such a one is told why.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from app.access.deciding import Answered, Asked, decide_one
from app.access.subject import Subject
from app.fhir.identifier import ODS_ORGANISATION
from app.fhir.temporal import format_instant
from app.interactions import Services
from app.policy.model import ACTIONS, ROLES
from app.policy.organisation import key_from
from app.storage import oauth

SEMANTICS = ("execute_all", "deny_on_first_deny", "permit_on_first_permit")
PARTS = ("subject", "action", "resource", "context")
MOST = 100

Verify = Callable[[str], Subject | None]


class Refused(Exception):
    """The request, or one evaluation of it, cannot be answered: HTTP status, and what was wrong."""

    def __init__(self, status: int, message: str) -> None:
        self.status = status
        self.message = message
        super().__init__(message)


@dataclass(frozen=True)
class Point:
    """The decision API for one caller."""

    services: Services
    verify: Verify
    caller: Subject
    request_id: str

    def evaluation(self, said: Mapping[str, Any]) -> dict[str, Any]:
        """One Access Evaluation. Raises Refused."""
        subject = self._subject(_part(said, "subject", "type", "id"), said.get("context"))
        action = _part(said, "action", "name")["name"]
        if action not in ACTIONS:
            raise Refused(400, f"action.name is not known; expected one of {', '.join(ACTIONS)}")
        resource = _part(said, "resource", "type", "id")
        if resource["type"] != "ImagingStudy":
            raise Refused(400, "resource.type is not known; expected ImagingStudy")
        answered = self.services.store.retry(
            lambda tx: decide_one(
                tx,
                self.services.enforcement,
                subject,
                Asked(resource["id"]),
                action,
                detail="evaluation",
                request_id=self.request_id,
            )
        )
        return {"decision": answered.decision.permitted, "context": self._context(answered)}

    def evaluations(self, said: Mapping[str, Any]) -> dict[str, Any]:
        """Several in one, or one where there is no `evaluations`. Raises Refused for what concerns them all."""
        listed = said.get("evaluations")
        if listed is None or listed == []:
            return self.evaluation(said)
        if not isinstance(listed, list) or not all(isinstance(one, dict) for one in listed):
            raise Refused(400, "evaluations is not a list of objects; expected one")
        if len(listed) > MOST:
            raise Refused(400, f"there are too many evaluations; expected at most {MOST}")
        options = said.get("options", {})
        semantic = options.get("evaluations_semantic", SEMANTICS[0]) if isinstance(options, dict) else None
        if semantic not in SEMANTICS:
            raise Refused(400, f"options.evaluations_semantic is not known; expected one of {', '.join(SEMANTICS)}")
        defaults = {name: said[name] for name in PARTS if name in said}
        return {"evaluations": list(self._each([defaults | one for one in listed], semantic))}

    def _each(self, listed: list[dict[str, Any]], semantic: str) -> Iterator[dict[str, Any]]:
        stop = {"deny_on_first_deny": False, "permit_on_first_permit": True}.get(semantic)
        for one in listed:
            try:
                answer = self.evaluation(one)
            except Refused as refused:
                error = {"status": refused.status, "message": refused.message}
                answer = {"decision": False, "context": {"error": error}}
            yield answer
            if answer["decision"] is stop:
                return

    def _context(self, answered: Answered) -> dict[str, Any]:
        decision = answered.decision
        said: dict[str, Any] = {"id": answered.id}
        if decision.permitted:
            said["obligations"] = list(decision.obligations)
            if decision.expires is not None:
                said["expires"] = format_instant(decision.expires)
        if self.caller.decision_point:
            said |= {"reasons": list(decision.reasons), "basis": list(decision.basis), "policy": decision.policy}
        return said

    # Whom the subject stands for ---------------------------------------------------------------------------------

    def _subject(self, said: dict[str, Any], context: object) -> Subject:
        properties = said.get("properties") or {}
        if not isinstance(properties, dict) or not all(isinstance(one, str) for one in properties.values()):
            raise Refused(400, "subject.properties is not an object of texts; expected one")
        if said["type"] not in ("client", "practitioner", "user", "token"):
            raise Refused(400, "subject.type is not known; expected client, practitioner, user or token")
        if not self.caller.decision_point:
            return self._self(said, properties)
        if said["type"] == "token":
            proved = self.verify(said["id"])
            if proved is None:
                raise Refused(403, "the subject's token is not valid (any more); expected a current one")
            return replace(proved, address=self.caller.address)
        if said["type"] == "client":
            return self._client(said["id"])
        purpose = context.get("purpose") if isinstance(context, dict) else None
        organisation = key_from(ODS_ORGANISATION, properties.get("organisation", ""))
        role = properties.get("role", "clinician")
        if organisation is None or role not in ROLES:
            raise Refused(
                400,
                f"subject.properties do not say who asks; expected organisation (an ODS code) and role, one of {', '.join(ROLES)}",
            )
        return Subject(
            client_id=self.caller.client_id,
            kind="gate",
            organisation=organisation,
            role=role,
            purpose=properties.get("purpose") or (purpose if isinstance(purpose, str) else None),
            practitioner=f"Practitioner/{said['id'].removeprefix('Practitioner/')}",
            token=self.caller.token,
            expires=self.caller.expires,
            address=self.caller.address,
        )

    def _client(self, id: str) -> Subject:
        with self.services.store.begin(reads=True) as tx:
            found = oauth.find(tx, id)
        if found is None or found.disabled:
            raise Refused(403, "no client that is in use has the subject's id; expected one that is registered")
        return Subject(
            client_id=found.id,
            kind=found.kind,
            organisation=found.organisation,
            role=found.role,
            purpose=found.purpose,
            token=self.caller.token,
            expires=self.caller.expires,
            address=self.caller.address,
        )

    def _self(self, said: dict[str, Any], properties: dict[str, str]) -> Subject:
        """The caller, where the subject is the caller in every word; the decision API is no oracle about others."""
        caller = self.caller
        person = (caller.practitioner or "").removeprefix("Practitioner/")
        mine = caller.client_id if said["type"] == "client" and not person else person
        stated = {"organisation": caller.ods, "role": caller.role, "purpose": caller.purpose}
        same = said["type"] != "token" and bool(mine) and said["id"].removeprefix("Practitioner/") == mine
        if not same or any(stated.get(name) != value for name, value in properties.items()):
            raise Refused(
                403, "the subject is not the caller; expected the caller, or an enforcement point that is trusted"
            )
        return caller


def _part(said: Mapping[str, Any], name: str, *members: str) -> dict[str, Any]:
    part = said.get(name)
    if not isinstance(part, dict):
        raise Refused(400, f"{name} is missing or no object; expected one with {' and '.join(members)}")
    for member in members:
        value = part.get(member)
        if not isinstance(value, str) or not value or len(value) > 8192:
            raise Refused(400, f"{name}.{member} is missing or no text; expected one")
    return part
