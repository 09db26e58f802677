"""Where in an issuer's claims something stands: a path such as `realm_access.roles` or, for one entry of a list,
`nhsid_nrbac_roles[person_roleid=selected_roleid].org_code` (the entry whose person_roleid is what selected_roleid says).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_STEP = re.compile(r"([^.\[\]=]+)(?:\[([^.\[\]=]+)=([^.\[\]=]+)\])?(?:\.|\Z)")


@dataclass(frozen=True, slots=True)
class Step:
    """A member; with `key`, the one entry of its list whose `key` equals the claim `equals`."""

    name: str
    key: str | None = None
    equals: str | None = None


@dataclass(frozen=True, slots=True)
class Path:
    steps: tuple[Step, ...]

    @classmethod
    def parse(cls, text: str) -> Path:
        """Raises ValueError for what is no path."""
        steps, at = [], 0
        while at < len(text):
            found = _STEP.match(text, at)
            if found is None:
                raise ValueError("no path of claims")
            steps.append(Step(*found.groups()))
            at = found.end()
        if not steps or text.endswith("."):
            raise ValueError("no path of claims")
        return cls(tuple(steps))

    def values(self, claims: Mapping[str, Any]) -> list[str]:
        """What stands there: texts, one or several; nothing where it is absent, of another shape, or not unique."""
        at: Any = claims
        for step in self.steps:
            at = at.get(step.name) if isinstance(at, Mapping) else None
            if step.key is not None:
                at = _entry(at, step.key, claims.get(step.equals or ""))
        found = at if isinstance(at, list) else [at]
        if not all(isinstance(one, (str, int)) and not isinstance(one, bool) for one in found):
            return []
        return [str(one) for one in found if str(one).strip()]

    def value(self, claims: Mapping[str, Any]) -> str | None:
        """The one text that stands there; None for none or several."""
        found = self.values(claims)
        return found[0] if len(found) == 1 else None


def _entry(entries: Any, key: str, wanted: Any) -> Any:
    if not isinstance(entries, list) or not isinstance(wanted, str) or not wanted:
        return None
    found = [one for one in entries if isinstance(one, Mapping) and one.get(key) == wanted]
    return found[0] if len(found) == 1 else None
