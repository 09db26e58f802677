"""The migrations lead to the schema that the code works with, on both databases, and say so when they have not run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import inspect

from app.storage import partitions, schema
from app.storage.engine import Store
from app.storage.tables import metadata
from tests.support.postgres import create_database


def empty(kind: str, request: pytest.FixtureRequest, folder: Path) -> Store:
    if kind == "sqlite":
        return Store(f"sqlite:///{folder}/empty.db")
    return Store(create_database(request.getfixturevalue("postgresql").split("|")[0]))


def test_a_migrated_database_is_what_the_tables_say(store: Store) -> None:
    with store.engine.connect() as connection:
        parts = partitions.parts(connection)

        def counted(_thing: object, name: str | None, _kind: str, _reflected: bool, _other: object) -> bool:
            return name not in parts and getattr(getattr(_thing, "table", None), "name", None) not in parts

        context = MigrationContext.configure(connection, opts={"compare_type": False, "include_object": counted})
        assert compare_metadata(context, metadata) == []
    assert schema.current(store) == schema.newest()


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_an_empty_database_comes_up_step_by_step_and_a_second_upgrade_changes_nothing(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    store = empty(kind, request, tmp_path)
    assert schema.current(store) is None
    schema.upgrade(store)
    tables = set(inspect(store.engine).get_table_names())
    assert set(metadata.tables) <= tables
    schema.upgrade(store)
    assert schema.current(store) == schema.newest()
    store.close()


def test_text_is_compared_by_code_point(fresh_database: Callable[[str], str]) -> None:
    for kind in ("sqlite", "postgresql"):
        store = Store(fresh_database(kind))
        with store.begin() as tx:
            tx.many("INSERT INTO match_key (hash, at) VALUES (?, 0)", [(b"a",)])
            for id in ("a", "B", "Z", "b"):
                tx.run("INSERT INTO identity (type, id, rid, patient) VALUES (1, ?, 1, 0)", id)
            assert [id for (id,) in tx.rows("SELECT id FROM identity ORDER BY id")] == ["B", "Z", "a", "b"]
        store.close()
