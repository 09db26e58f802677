"""The schema's state: brought up to date by Alembic, and checked for readiness."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from app.storage import (  # noqa: F401  (the modules that define the tables)
    agenda,
    attempts,
    authorizations,
    drafts,
    emergencies,
    idempotency,
    oauth,
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


def _config(store: Store) -> Config:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["engine"] = store.engine
    return config


def upgrade(store: Store, revision: str = "head") -> None:
    """Apply every migration that the database has not seen."""
    command.upgrade(_config(store), revision)


def current(store: Store) -> str | None:
    """The revision that the database is at; None for an empty one."""
    with store.engine.connect() as connection:
        return MigrationContext.configure(connection).get_current_revision()


def newest() -> str | None:
    """The newest revision that this release knows."""
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    return ScriptDirectory.from_config(config).get_current_head()
