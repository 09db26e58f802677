"""What the privacy desk does with a request. Everyone here is a subject of the privacy role (`Asked.subject`); each step
is refused (Fault `forbidden`) for another role, and for a request that the officer may not see it does not exist
(`not-found`).

A step that does not follow from the state is refused as `unprocessable` (422); one on a version that has changed
(`version`, from `Request.version`) as `version-conflict` (412): so the back button does nothing twice.
"""

from __future__ import annotations

from app.interactions import Asked, Services
from app.pathways.choice.form import Form
from app.pathways.choice.model import OPEN, Request


def worklist(services: Services, asked: Asked, states: tuple[str, ...] = OPEN, most: int = 200) -> list[Request]:
    """The requests in these states: overdue ones first, then by the next clock that runs out."""
    raise NotImplementedError


def find(services: Services, asked: Asked, id: str) -> Request:
    """One request by the id of its Task, or by its reference number."""
    raise NotImplementedError


def record(services: Services, asked: Asked, form: Form, *, received: str = "", submission: str = "") -> Request:
    """A form that came on paper; `received` is the date (YYYY-MM-DD) from which the clocks run."""
    raise NotImplementedError


def receive(services: Services, asked: Asked, id: str, *, version: int | None = None) -> Request:
    """requested → received: somebody has it in hand, and the acknowledgement has been sent."""
    raise NotImplementedError


def accept(
    services: Services, asked: Asked, id: str, *, patient: str | None = None, version: int | None = None
) -> Request:
    """received → accepted: who it is about (`patient`, "Patient/id", where it was not certain) and, on behalf of
    somebody, the authority were confirmed."""
    raise NotImplementedError


def confirm(services: Services, asked: Asked, id: str, *, version: int | None = None) -> Request:
    """accepted → in-progress: the choice is in force, older ones of the person are superseded, and a confirmation is
    to be sent."""
    raise NotImplementedError


def reject(
    services: Services, asked: Asked, id: str, reason: str, note: str = "", *, version: int | None = None
) -> Request:
    """Any state before in-progress → rejected, for one of REASONS, in words where it is "other"."""
    raise NotImplementedError


def sent(services: Services, asked: Asked, id: str, kind: str, *, version: int | None = None) -> Request:
    """A letter has been sent. The confirmation completes the request: in-progress → completed."""
    raise NotImplementedError
