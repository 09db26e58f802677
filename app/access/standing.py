"""Whether a token, its client and its person are good at this very moment: asked with the first thing that a request
asks of the database, in one round trip, and looked at before anything else that came with it."""

from __future__ import annotations

from collections.abc import Sequence

from app.fhir.outcome import Fault
from app.storage import oauth
from app.storage.engine import Contention, Tx

CHALLENGE = 'Bearer realm="imaging registry"'


def rejected() -> Fault:
    """The answer to a token that is not good."""
    return Fault(
        "login",
        "the access token is not valid (any more); expected a current one",
        headers={"WWW-Authenticate": f'{CHALLENGE}, error="invalid_token"'},
    )


class Standing:
    """What is still to be asked about the token of one request. `number` is the organisations' (the epoch) once it has been
    asked, and shows that it has; `assumed` the one that was taken to be theirs meanwhile."""

    __slots__ = ("assumed", "client", "marks", "number")

    def __init__(self, client: str, marks: Sequence[str]) -> None:
        self.client = client
        self.marks = marks
        self.number: int | None = None
        self.assumed: int | None = None

    def ask(self, tx: Tx) -> None:
        """Ask with the next statement. That raises Fault "login" for a token that is good no more, and Contention, for
        the work to be done again, where something else was assumed of the organisations."""
        if self.number is None:
            oauth.ask_standing(tx, self.client, self.marks, self._told)

    def _told(self, number: int | None) -> None:
        if number is None:
            raise rejected()
        self.number = number
        if self.assumed not in (None, number):
            raise Contention
