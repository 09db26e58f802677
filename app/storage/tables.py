"""The schema, once, for SQLite and PostgreSQL. Migrations in `migrations/` are held against it by a test.

Every large table leads with `patient` (the rid of the Patient that the row is about, 0 for none), so that it can be
partitioned or distributed by it; what must be unique over all patients stands in `identity` and `match_key`.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    String,
    Table,
    Text,
    text,
)

metadata = MetaData()

TO_COME = text("status IN ('planned', 'booked')")  # visits that the worker looks ahead for

# "C" so that text is compared by code point on both databases, as SQLite's BINARY does.
Key = String().with_variant(String(collation="C"), "postgresql")
Serial = BigInteger().with_variant(Integer(), "sqlite")


def _of_patient(name: str, *columns: Column[Any] | Index) -> Any:
    return Table(
        name,
        metadata,
        Column("patient", BigInteger, nullable=False),
        Column("rid", BigInteger, nullable=False),
        *columns,
    )


identity = Table(
    "identity",
    metadata,
    Column("type", SmallInteger, primary_key=True),
    Column("id", Key, primary_key=True),
    Column("rid", BigInteger, nullable=False),
    Column("patient", BigInteger, nullable=False),
)

# The current version. The bytes are what was accepted, with id and meta; `facts` is what policy may look at.
# Here and below columns of a fixed width come first, the widest before the others, so that no bytes lie idle between.
resource = Table(
    "resource",
    metadata,
    Column("patient", BigInteger, primary_key=True, autoincrement=False),
    Column("rid", BigInteger, primary_key=True, autoincrement=False),
    Column("updated", BigInteger, nullable=False),
    Column("latest", BigInteger, nullable=False),  # the end of [low, high) as newest-first order wants it: see `latest`
    Column("low", BigInteger),
    Column("high", BigInteger),
    Column("version", Integer, nullable=False),
    Column("type", SmallInteger, nullable=False),
    Column("op", SmallInteger, nullable=False),
    Column("deleted", Boolean, nullable=False),
    Column("id", Key, nullable=False),
    Column("hash", LargeBinary, nullable=False),
    Column("owner", Key),
    Column("status", Key),
    Column("facts", Key),
    Column("content", LargeBinary, nullable=False),
    Index("resource_newest", "type", "updated", "rid"),
    Index("resource_latest", "type", "latest", "rid"),
    Index("resource_type", "type", "rid"),
    Index("resource_patient", "patient", "type", "updated"),
    Index("resource_rid", "rid"),
)

history = _of_patient(
    "history",
    Column("updated", BigInteger, nullable=False),
    Column("low", BigInteger),
    Column("high", BigInteger),
    Column("version", Integer, nullable=False),
    Column("type", SmallInteger, nullable=False),
    Column("op", SmallInteger, nullable=False),
    Column("deleted", Boolean, nullable=False),
    Column("id", Key, nullable=False),
    Column("owner", Key),
    Column("status", Key),
    Column("facts", Key),
    Column("content", LargeBinary, nullable=False),
    Index("history_version", "patient", "rid", "version", unique=True),
    Index("history_rid", "rid", "version"),
)

# The feed, in commit order: on PostgreSQL `xid` lets a reader stop before the oldest open transaction.
change = Table(
    "change",
    metadata,
    Column("seq", Serial, primary_key=True, autoincrement=True),
    Column("xid", BigInteger, nullable=False),
    Column("patient", BigInteger, nullable=False),
    Column("rid", BigInteger, nullable=False),
    Column("version", Integer, nullable=False),
    Column("type", SmallInteger, nullable=False),
    Column("op", SmallInteger, nullable=False),
    Column("updated", BigInteger, nullable=False),
    Index("change_order", "xid", "seq"),
    Index("change_updated", "updated"),
)

token = _of_patient(
    "token",
    Column("code", BigInteger, nullable=False),
    Column("system", BigInteger, nullable=False),
    Column("param", Integer, nullable=False),
    Column("word", Key, nullable=False),  # the code's beginning, for sorting alone
    Index("token_patient", "patient", "rid"),
    Index("token_value", "param", "code", "system"),
)

identifier = _of_patient(
    "identifier",
    Column("system", BigInteger, nullable=False),
    Column("kind", BigInteger, nullable=False),
    Column("param", Integer, nullable=False),
    Column("value", Key, nullable=False),
    Index("identifier_patient", "patient", "rid"),
    Index("identifier_value", "value", "param"),
)

reference = _of_patient(
    "reference",
    Column("param", Integer, nullable=False),
    Column("target_type", SmallInteger, nullable=False),
    Column("target", Key, nullable=False),
    Index("reference_patient", "patient", "rid"),
    Index("reference_target", "target", "target_type", "param"),
)

date = _of_patient(
    "date",
    Column("low", BigInteger),
    Column("high", BigInteger),
    Column("param", Integer, nullable=False),
    Index("date_patient", "patient", "rid"),
    Index("date_value", "param", "low", "high"),
)

string = _of_patient(
    "string",
    Column("param", Integer, nullable=False),
    Column("norm", Key, nullable=False),  # no longer than a b-tree takes
    Column("exact", Key, nullable=False),  # empty where no search asks for it, as of a code's display
    Column("whole", Text),  # the normalised text where `norm` is only its beginning
    Index("string_patient", "patient", "rid"),
    Index("string_value", "param", "norm"),
)

number = _of_patient(
    "number",
    Column("param", Integer, nullable=False),
    Column("low", Float, nullable=False),  # a number is one point
    Index("number_patient", "patient", "rid"),
    Index("number_value", "param", "low"),
)

# Instance and series UIDs stand apart: as tokens they would be most of the index. See `indexing.uid_hash`.
uid = _of_patient(
    "uid",
    Column("value", BigInteger, nullable=False),
    Index("uid_patient", "patient", "rid"),
    Index("uid_value", "value"),
)

match_key = Table(
    "match_key", metadata, Column("hash", LargeBinary, primary_key=True), Column("at", BigInteger, nullable=False)
)

# A patient's identity group: the closure of replaced-by and replaces. `flags`: 1 indeterminate, 2 deceased, 4 restricted.
person = Table(
    "person",
    metadata,
    Column("patient", BigInteger, primary_key=True, autoincrement=False),
    Column("id", Key, nullable=False),
    Column("grp", BigInteger, nullable=False),
    Column("flags", SmallInteger, nullable=False),
    Index("person_group", "grp"),
)

# Consents compiled to rules when written; one row for each Consent whose status lets it act.
directive = _of_patient(
    "directive",
    Column("id", Key, nullable=False),
    Column("version", Integer, nullable=False),
    Column("body", Text, nullable=False),
    Index("directive_patient", "patient", "rid", unique=True),
)

# One row for each organisation of a relationship ("" where it names none).
relationship = _of_patient(
    "relationship",
    Column("source", Key, nullable=False),
    Column("version", Integer, nullable=False),
    Column("kind", Key, nullable=False),
    Column("status", Key, nullable=False),
    Column("org", Key, nullable=False),
    Column("members", Text, nullable=False),
    Column("low", BigInteger),
    Column("high", BigInteger),
    Index("relationship_patient", "patient", "rid"),
    Index("relationship_org", "org", "kind", "status"),
    Index("relationship_to_come", "low", postgresql_where=TO_COME, sqlite_where=TO_COME),
)

emergency_grant = Table(
    "emergency_grant",
    metadata,
    Column("patient", BigInteger, primary_key=True, autoincrement=False),
    Column("id", Key, primary_key=True),
    Column("version", Integer, nullable=False),
    Column("practitioner", Key, nullable=False),
    Column("organisation", Key, nullable=False),
    Column("low", BigInteger, nullable=False),
    Column("high", BigInteger, nullable=False),
    Column("reason", Key, nullable=False),
    Column("note", Text, nullable=False),
    Column("revoked", Boolean, nullable=False),
    Column("revoked_at", BigInteger),
    Index("emergency_grant_id", "id"),
    Index("emergency_grant_holder", "organisation", "practitioner"),
)

organisation = Table(
    "organisation",
    metadata,
    Column("rid", BigInteger, primary_key=True, autoincrement=False),
    Column("id", Key, nullable=False),
    Column("key", Key, nullable=False),
    Column("parent", Key),
    Column("kinds", Text, nullable=False),
    Column("successor", Key),
    Index("organisation_key", "key"),
    Index("organisation_id", "id"),
)

# Versions of what is cached in memory: a cache is right only while its number is the one read with the facts.
epoch = Table("epoch", metadata, Column("name", Key, primary_key=True), Column("number", BigInteger, nullable=False))

# What is to be told to others, written with the change that causes it.
outbox = Table(
    "outbox",
    metadata,
    Column("seq", Serial, primary_key=True, autoincrement=True),
    Column("xid", BigInteger, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("topic", Key, nullable=False),
    Column("patient", BigInteger, nullable=False),
    Column("rid", BigInteger, nullable=False),
    Column("version", Integer, nullable=False),
    Column("body", Text, nullable=False),
    Index("outbox_order", "xid", "seq"),
)

# Append-only: one row for each thing that happened, in the transaction in which it did.
audit = Table(
    "audit",
    metadata,
    Column("seq", Serial, primary_key=True, autoincrement=True),
    Column("id", Key, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("patient", Key),
    Column("action", Key, nullable=False),
    Column("subtype", Key, nullable=False),
    Column("outcome", Key, nullable=False),
    Column("client", Key),
    Column("agent", Key),
    Column("org", Key),
    Column("entity", Key),
    Column("faces", SmallInteger, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Index("audit_id", "id", unique=True),
    Index("audit_patient", "patient", "at"),
    Index("audit_at", "at"),
)

# Where each audit row stands in the chain of a day, and the hash up to it. Rows are linked behind their insert.
audit_link = Table(
    "audit_link",
    metadata,
    Column("day", Integer, primary_key=True, autoincrement=False),
    Column("n", BigInteger, primary_key=True, autoincrement=False),
    Column("seq", BigInteger, nullable=False),
    Column("hash", LargeBinary, nullable=False),
    Index("audit_link_seq", "seq", unique=True),
)

# How far each day's chain has come, with the frontier of its Merkle tree. The newest holds where to look for more.
audit_chain = Table(
    "audit_chain",
    metadata,
    Column("day", Integer, primary_key=True, autoincrement=False),
    Column("count", BigInteger, nullable=False),
    Column("hash", LargeBinary, nullable=False),
    Column("frontier", LargeBinary, nullable=False),
    Column("horizon", BigInteger, nullable=False),
    Column("pending", BigInteger),
    Column("pending_at", BigInteger),
)

# Every set of the region's choices that was ever in force, by its hash, so that a decision can be made again.
policy_set = Table(
    "policy_set",
    metadata,
    Column("hash", Key, primary_key=True),
    Column("version", Text, nullable=False),
    Column("body", Text, nullable=False),
    Column("since", BigInteger, nullable=False),
)
