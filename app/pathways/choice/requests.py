"""What the public does: send the form, ask how it stands, change how they are written to. No log-in is needed.

Nothing here tells whether a person is known to the registry, or has images.
"""

from __future__ import annotations

from app.interactions import Services
from app.pathways.choice.form import Form
from app.pathways.choice.model import Progress, Receipt


def submit(
    services: Services,
    form: Form,
    *,
    submission: str = "",
    proven: str | None = None,
    address: str = "",
    request_id: str = "",
) -> Receipt:
    """Keep the form and open its Task. Raises Fault with an issue a field (`Issue.expression`) where answers are wrong,
    `throttled` for too many from one address.

    `submission` is a random text in the page: the same again gives the same receipt and makes nothing. `proven` is
    "Patient/id" where a log-in proved who it is: an own choice is then in force at once. `address` is the caller's.
    """
    raise NotImplementedError


def status(
    services: Services, reference: str, birth_date: str, *, address: str = "", request_id: str = ""
) -> Progress | None:
    """How a request stands; None for any wrong pair, whichever part is wrong. Raises Fault `throttled` for too many
    tries from one address, or at one reference."""
    raise NotImplementedError


def change_contact(
    services: Services, reference: str, birth_date: str, form: Form, *, address: str = "", request_id: str = ""
) -> bool:
    """Write to the person in another way from now on: the address, postcode, contact, email and phone of `form`. False
    for a wrong pair, or a request that is closed. Raises Fault as `submit` and `status` do."""
    raise NotImplementedError
