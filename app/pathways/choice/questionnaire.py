"""The form as a published Questionnaire: in store as a directory entry that anyone with a token reads, kept as it is in
`fhir_profiles/`."""

from __future__ import annotations

from dataclasses import replace

import orjson

from app.interactions import Services
from app.storage import resources
from app.storage.engine import Tx

STAMPED = ("id", "meta")


def publish(services: Services, tx: Tx) -> int:
    """Put the forms that are not there yet, or that have changed; how many."""
    grant = replace(services.enforcement.for_deciding(tx, "PUBLISHED", "Questionnaire"), writer=None)
    made = 0
    for form in services.forms:
        current = resources.get(tx, grant, "Questionnaire", form["id"])
        content = {name: value for name, value in form.items() if name not in STAMPED}
        if current is None:
            resources.create(tx, grant, content, form["id"], "PUT")
        elif current.deleted or _without(orjson.loads(current.content)) != content:
            resources.update(tx, grant, current, content)
        else:
            continue
        made += 1
    return made


def _without(resource: dict[str, object]) -> dict[str, object]:
    return {name: value for name, value in resource.items() if name not in STAMPED}
