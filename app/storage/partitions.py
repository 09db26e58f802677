"""Hash partitions by patient, on PostgreSQL: chosen when the schema is made, unseen by the statements.

Every table of LARGE leads with `patient` and has no constraint that spans patients, so that one patient's rows stand in one
partition of each, and the same key distributes them over machines. What must be found without knowing the patient stands in
small tables that stay whole: from an id, an identifier, an organisation or a merged record to the patient. The log (`audit`,
`change`, `outbox`) is kept in its own order, which is time's.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, text

from app.fhir.outcome import Fault

LARGE = (
    "resource",
    "history",
    "token",
    "reference",
    "date",
    "string",
    "number",
    "uid",
    "directive",
    "relationship",
    "emergency_grant",
    "told",
)
MOST = 256  # partitions: each is some dozens of files, and a plan that prunes none of them opens all


def counts(connection: Connection) -> dict[str, int]:
    """How many partitions each large table has; 0 for one that is not divided."""
    if connection.dialect.name != "postgresql":
        return dict.fromkeys(LARGE, 0)
    rows = connection.execute(
        text(
            "SELECT c.relname, (SELECT count(*) FROM pg_inherits i WHERE i.inhparent = c.oid) FROM pg_class c"
            " WHERE c.relname = ANY(:names) AND c.relkind IN ('r', 'p') AND pg_table_is_visible(c.oid)"
        ),
        {"names": list(LARGE)},
    )
    return {name: int(number) for name, number in rows}


def parts(connection: Connection) -> frozenset[str]:
    """The names of the partitions, which are tables too."""
    return frozenset(f"{table}_p{n}" for table, number in counts(connection).items() for n in range(number))


def faults(connection: Connection) -> list[str]:
    """What is wrong with the division: all tables have the same."""
    found = counts(connection)
    number = found.get("resource", 0)
    return [
        f"table {name} has {n} partitions; expected {number}, as resource has"
        for name, n in found.items()
        if n != number
    ]


def divide(connection: Connection, number: int) -> None:
    """Divide every large table that is not divided yet; each must be empty. `number` is what all will have, from 1.

    Raises Fault "invalid" where it cannot be done; nothing has changed then."""
    if not 1 <= number <= MOST:
        raise Fault("invalid", f"{number} partitions; expected a number from 1 to {MOST}")
    found = counts(connection)
    other = next((n for n in found.values() if n not in (0, number)), None)
    if other is not None:
        raise Fault("invalid", f"the tables have {other} partitions already; expected the same number, or none given")
    whole = [name for name in LARGE if found.get(name) == 0]
    filled = [name for name in whole if connection.execute(text(f"SELECT EXISTS (SELECT 1 FROM {name})")).scalar()]
    if filled:
        raise Fault(
            "invalid",
            f"table {filled[0]} holds rows; expected an empty database (export, and import into a new one with partitions)",
        )
    for name in whole:
        _divide(connection, name, number)


def _divide(connection: Connection, name: str, number: int) -> None:
    def run(statement: str) -> Any:
        return connection.execute(text(statement.replace(":", "\\:")))

    keys = run(
        f"SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid = '{name}'::regclass AND contype = 'p'"
    )
    key = keys.scalar()
    indexes = run(
        "SELECT pg_get_indexdef(indexrelid) FROM pg_index"
        f" WHERE indrelid = '{name}'::regclass AND NOT indisprimary ORDER BY indexrelid"
    )
    definitions = list(indexes.scalars())
    run(f"ALTER TABLE {name} RENAME TO {name}_whole")
    run(
        f"CREATE TABLE {name} (LIKE {name}_whole INCLUDING DEFAULTS INCLUDING STORAGE INCLUDING COMPRESSION)"
        " PARTITION BY HASH (patient)"
    )
    run(f"DROP TABLE {name}_whole")
    for n in range(number):
        run(f"CREATE TABLE {name}_p{n} PARTITION OF {name} FOR VALUES WITH (MODULUS {number}, REMAINDER {n})")
    if key:
        run(f"ALTER TABLE {name} ADD CONSTRAINT {name}_pkey {key}")
    for definition in definitions:
        run(definition.replace(f".{name}_whole ", f".{name} "))
