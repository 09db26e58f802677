"""The record of a request that ended before any interaction began: no token or a rejected one, or not to be read at all."""

from __future__ import annotations

from app.access import audit
from app.fhir.outcome import Fault
from app.fhir.registry import TYPES
from app.interactions import Asked, Services
from app.rest.negotiate import Received, request_id


def record(services: Services, request: Received, fault: Fault, known: Asked | None) -> None:
    """One row, of whoever is `known` to have asked, unless the interaction has left its own. Raises what the database
    raises: no record, no answer."""
    if fault.recorded or request.url_rule is None:
        return
    named = (request.view_args or {}).get("type_name", "")
    # An endpoint's name begins with its interaction; a conditional one is recorded as what it would have done.
    asked_for = (request.endpoint or "").removeprefix("fhir.").split(" ")[0]
    interaction = "operation" if asked_for.startswith("$") else asked_for.removeprefix("conditional-")
    interaction = "search-type" if interaction == "search-compartment" else interaction
    services.store.retry(
        lambda tx: audit.record(
            tx,
            known.subject if known is not None else None,
            None,
            interaction,
            named if named in TYPES else "",
            status=fault.status,
            detail=fault.text,
            request_id=request_id(request),
            address=request.remote_addr or "",
        )
    )
    fault.recorded = True
