"""Bytes on disk for a study of 2 kB with index and history, and for a resource of any kind; freshly filled and vacuumed.

A study's part of a table is its part of the rows, and of `resource`, whose rows differ much in size, its part of their
bytes. Apart are the audit, which grows with what is asked and not with what is held, and the outbox, which the worker empties.
"""

from __future__ import annotations

from app.fhir.registry import TYPES
from app.storage import tables
from app.storage.engine import Store, Tx
from benchmarks.harness.table import FRESH, Bench, Row, at_most, measured

APART = ("audit", "outbox")
SAMPLE = 20_000  # resources whose rows are counted, so that a large database need not be read whole


def sizes(tx: Tx) -> dict[str, int]:
    """Bytes of each table with its indexes."""
    names = [f"{table.name}" for table in tables.metadata.sorted_tables if table.name not in APART]
    if tx.postgresql:
        return {name: int(tx.rows("SELECT pg_total_relation_size(CAST(? AS regclass))", name)[0][0]) for name in names}
    found = dict.fromkeys(names, 0)
    for name, number in tx.rows(
        "SELECT m.tbl_name, SUM(d.pgsize) FROM dbstat d JOIN sqlite_master m ON m.name = d.name GROUP BY m.tbl_name"
    ):
        if name in found:
            found[name] += int(number)
    return found


def rows_of_studies(tx: Tx) -> dict[str, float]:
    """Rows for each study in every table that has a row for a resource."""
    study = TYPES["ImagingStudy"].code
    chosen = "SELECT patient, rid FROM resource WHERE type = ? ORDER BY patient, rid LIMIT ?"
    many = int(tx.rows(f"SELECT count(*) FROM ({chosen}) c", study, SAMPLE)[0][0])
    found = {}
    for table in tables.metadata.sorted_tables:
        if {"patient", "rid"} <= set(table.columns.keys()):
            on = f"SELECT count(*) FROM ({chosen}) c JOIN {table.name} t ON t.rid = c.rid AND t.patient = c.patient"
            found[table.name] = int(tx.rows(on, study, SAMPLE)[0][0]) / many
    return found


def larger_than_others(tx: Tx) -> float:
    """How many times a row of `resource` is larger for a study than for a resource of any kind, without its index."""
    size = "pg_column_size(r.*)" if tx.postgresql else "length(r.content) + 300"
    of_any = f"SELECT avg({size}) FROM (SELECT * FROM resource ORDER BY patient, rid LIMIT {SAMPLE}) r"
    of_study = f"SELECT avg({size}) FROM (SELECT * FROM resource WHERE type = ? ORDER BY patient, rid LIMIT {SAMPLE}) r"
    study = TYPES["ImagingStudy"].code
    return float(tx.rows(of_study, study)[0][0]) / float(tx.rows(of_any)[0][0])


def indexes(tx: Tx) -> int:
    """Bytes of the indexes of `resource`, as far as the database tells."""
    return int(tx.rows("SELECT pg_indexes_size('resource')")[0][0]) if tx.postgresql else 0


@measured("disk", "bytes for a study, index and history included", at_most(4000, "bytes"), when=FRESH)
def disk(bench: Bench) -> list[Row]:
    store = Store(bench.site.url)
    with store.begin(reads=True) as tx:
        whole, each = sizes(tx), rows_of_studies(tx)
        counts = {name: int(tx.rows(f"SELECT count(*) FROM {name}")[0][0]) for name in whole}
        content = tx.rows(
            "SELECT avg(length(content)) FROM (SELECT content FROM resource WHERE type = ? ORDER BY patient, rid LIMIT ?) c",
            TYPES["ImagingStudy"].code,
            SAMPLE,
        )[0][0]
        larger = larger_than_others(tx)
        beside = indexes(tx) / counts["resource"]
    store.close()
    part = {name: whole[name] / counts[name] * each[name] for name in each if counts.get(name)}
    part["resource"] += (larger - 1) * (part["resource"] - beside)
    resources, studies = counts["resource"], bench.world.studies
    by_table = {name: round(size) for name, size in sorted(part.items(), key=lambda one: -one[1]) if size >= 1}
    total = sum(whole.values())
    return [
        Row(
            "disk",
            "bytes for a study, index and history included",
            value=round(sum(part.values())),
            unit="bytes",
            number=studies,
            notes={"its content": round(float(content)), "by table": by_table},
        ),
        Row(
            "disk",
            "bytes for a resource of any kind",
            value=round(total / resources),
            unit="bytes",
            number=resources,
            target="–",
            notes={"MB in all": round(total / 2**20, 1)},
        ),
    ]
