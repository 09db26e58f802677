"""The bearer token of a request becomes a Subject, or the request ends with 401."""

from __future__ import annotations

from collections.abc import Callable

from werkzeug.datastructures import Headers

from app.access.subject import Subject
from app.fhir.outcome import Fault

CHALLENGE = 'Bearer realm="imaging registry"'


def authenticate(verify: Callable[[str], Subject | None], headers: Headers) -> Subject:
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
        raise Fault(
            "login",
            "the access token is not valid (any more); expected a current one",
            headers={"WWW-Authenticate": f'{CHALLENGE}, error="invalid_token"'},
        )
    return subject
