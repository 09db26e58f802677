"""The schema's state: brought up to date by Alembic, and checked for readiness."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any

from sqlalchemy import inspect, text

from app.fhir.outcome import Fault
from app.storage import (  # noqa: F401  (the modules that define the tables)
    agenda,
    attempts,
    authorizations,
    drafts,
    emergencies,
    events,
    former,
    idempotency,
    oauth,
    partitions,
    people,
    reviews,
    sources,
    subscriptions,
    tables,
    telling,
    transfers,
)
from app.storage.engine import Store

MIGRATIONS = Path(__file__).parent / "migrations"


_SAYS = re.compile(r'^(revision|down_revision) = (?:"(\w+)"|None)$', re.MULTILINE)


def _config(store: Store) -> Any:
    from alembic.config import Config  # fifteen megabytes, and a web server never migrates

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["engine"] = store.engine
    return config


def upgrade(store: Store, revision: str = "head", number: int = 0) -> None:
    """Apply every migration that the database has not seen. `number` of partitions, 0 for as it is: see `partitions`."""
    from alembic import command

    command.upgrade(_config(store), revision)
    if store.dialect == "postgresql":
        with store.engine.begin() as connection:
            divided = partitions.counts(connection).get("resource", 0)
            if number or divided:  # a table that a migration has added is divided as the others are
                partitions.divide(connection, number or divided)
    elif number:
        raise Fault("invalid", "SQLite has no partitions; expected PostgreSQL, or no number of them")


def current(store: Store) -> str | None:
    """The revision that the database is at; None for an empty one."""
    with store.engine.connect() as connection:
        if not inspect(connection).has_table("alembic_version"):
            return None
        return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()


@cache
def newest() -> str | None:
    """The newest revision that this release knows: the one that no other follows."""
    said = [dict(_SAYS.findall(path.read_text())) for path in (MIGRATIONS / "versions").glob("*.py")]
    followed = {one["down_revision"] for one in said}
    return next((one["revision"] for one in said if one["revision"] not in followed), None)
