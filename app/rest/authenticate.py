"""The bearer token of a request becomes a Subject, or the request ends with 401."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from app.access.standing import CHALLENGE, rejected
from app.access.subject import Subject
from app.fhir.outcome import Fault


class Given(Protocol):
    """The headers of a request."""

    def getlist(self, key: str, /) -> list[str]: ...


def authenticate(verify: Callable[[str], Subject | None], headers: Given) -> Subject:
    """Who asks. Raises Fault "login" without a good token in the Authorization header."""
    given = headers.getlist("Authorization")
    scheme, _, token = (given[0] if len(given) == 1 else "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise Fault(
            "login",
            "no access token; expected one in the Authorization header, as Bearer",
            headers={"WWW-Authenticate": CHALLENGE},
        )
    subject = verify(token.strip())
    if subject is None:
        raise rejected()
    return subject
