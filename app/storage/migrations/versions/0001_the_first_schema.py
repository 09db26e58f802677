"""the first schema"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "audit_link",
        sa.Column("day", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("n", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("day", "n"),
    )
    with op.batch_alter_table("audit_link", schema=None) as batch_op:
        batch_op.create_index("audit_link_seq", ["seq"], unique=True)

    op.create_table(
        "audit_chain",
        sa.Column("day", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("count", sa.BigInteger(), nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.Column("frontier", sa.LargeBinary(), nullable=False),
        sa.Column("horizon", sa.BigInteger(), nullable=False),
        sa.Column("pending", sa.BigInteger(), nullable=True),
        sa.Column("pending_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("day"),
    )
    op.create_table(
        "policy_set",
        sa.Column("hash", sa.String().with_variant(sa.String(collation="C"), "postgresql"), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("since", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("hash"),
    )
    op.create_table(
        "audit",
        sa.Column("seq", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("id", sa.String().with_variant(sa.String(collation="C"), "postgresql"), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("patient", sa.String().with_variant(sa.String(collation="C"), "postgresql"), nullable=True),
        sa.Column("action", sa.String().with_variant(sa.String(collation="C"), "postgresql"), nullable=False),
        sa.Column("subtype", sa.String().with_variant(sa.String(collation="C"), "postgresql"), nullable=False),
        sa.Column("outcome", sa.String().with_variant(sa.String(collation="C"), "postgresql"), nullable=False),
        sa.Column("client", sa.String().with_variant(sa.String(collation="C"), "postgresql"), nullable=True),
        sa.Column("agent", sa.String().with_variant(sa.String(collation="C"), "postgresql"), nullable=True),
        sa.Column("org", sa.String().with_variant(sa.String(collation="C"), "postgresql"), nullable=True),
        sa.Column("entity", sa.String().with_variant(sa.String(collation="C"), "postgresql"), nullable=True),
        sa.Column("faces", sa.SmallInteger(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("seq"),
    )
    with op.batch_alter_table("audit", schema=None) as batch_op:
        batch_op.create_index("audit_at", ["at"], unique=False)
        batch_op.create_index("audit_id", ["id"], unique=True)
        batch_op.create_index("audit_patient", ["patient", "at"], unique=False)

    op.create_table(
        "change",
        sa.Column("seq", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("xid", sa.BigInteger(), nullable=False),
        sa.Column("patient", sa.BigInteger(), nullable=False),
        sa.Column("rid", sa.BigInteger(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("type", sa.SmallInteger(), nullable=False),
        sa.Column("op", sa.SmallInteger(), nullable=False),
        sa.Column("updated", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("seq"),
    )
    with op.batch_alter_table("change", schema=None) as batch_op:
        batch_op.create_index("change_order", ["xid", "seq"], unique=False)
        batch_op.create_index("change_updated", ["updated"], unique=False)

    op.create_table(
        "date",
        sa.Column("patient", sa.BigInteger(), nullable=False),
        sa.Column("rid", sa.BigInteger(), nullable=False),
        sa.Column("low", sa.BigInteger(), nullable=True),
        sa.Column("high", sa.BigInteger(), nullable=True),
        sa.Column("param", sa.Integer(), nullable=False),
    )
    with op.batch_alter_table("date", schema=None) as batch_op:
        batch_op.create_index("date_patient", ["patient", "rid"], unique=False)
        batch_op.create_index("date_value", ["param", "low", "high"], unique=False)

    op.create_table(
        "directive",
        sa.Column("patient", sa.BigInteger(), nullable=False),
        sa.Column("rid", sa.BigInteger(), nullable=False),
        sa.Column("id", sa.String().with_variant(sa.String(collation="C"), "postgresql"), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
    )
    with op.batch_alter_table("directive", schema=None) as batch_op:
        batch_op.create_index("directive_patient", ["patient", "rid"], unique=True)

    op.create_table(
        "emergency_grant",
        sa.Column("patient", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("id", sa.String().with_variant(sa.String(collation="C"), "postgresql"), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("practitioner", sa.String().with_variant(sa.String(collation="C"), "postgresql"), nullable=False),
        sa.Column("organisation", sa.String().with_variant(sa.String(collation="C"), "postgresql"), nullable=False),
        sa.Column("low", sa.BigInteger(), nullable=False),
        sa.Column("high", sa.BigInteger(), nullable=False),
        sa.Column("reason", sa.String().with_variant(sa.String(collation="C"), "postgresql"), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("revoked", sa.Boolean(), nullable=False),
        sa.Column("revoked_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("patient", "id"),
    )
    with op.batch_alter_table("emergency_grant", schema=None) as batch_op:
        batch_op.create_index("emergency_grant_holder", ["organisation", "practitioner"], unique=False)
        batch_op.create_index("emergency_grant_id", ["id"], unique=False)

    op.create_table(
        "emergency_lock",
        sa.Column("holder", sa.String().with_variant(sa.String(collation="C"), "postgresql"), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("holder"),
    )
    op.create_table(
        "agenda",
        sa.Column("kind", sa.String().with_variant(sa.String(collation="C"), "postgresql"), nullable=False),
        sa.Column("ref", sa.String().with_variant(sa.String(collation="C"), "postgresql"), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("kind", "ref"),
    )
    with op.batch_alter_table("agenda", schema=None) as batch_op:
        batch_op.create_index("agenda_at", ["at"], unique=False)

    op.create_table(
        "attempt",
        sa.Column("number", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("kind", sa.String().with_variant(sa.String(collation="C"), "postgresql"), nullable=False),
        sa.Column("holder", sa.LargeBinary(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("number"),
    )
    with op.batch_alter_table("attempt", schema=None) as batch_op:
        batch_op.create_index("attempt_at", ["at"], unique=False)
        batch_op.create_index("attempt_holder", ["kind", "holder", "at"], unique=False)

    op.create_table(
        "epr_event",
        sa.Column("org", sa.String().with_variant(sa.String(collation="C"), "postgresql"), nullable=False),
        sa.Column("sender", sa.String().with_variant(sa.String(collation="C"), "postgresql"), nullable=False),
        sa.Column("control", sa.String().with_variant(sa.String(collation="C"), "postgresql"), nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("patient", sa.String().with_variant(sa.String(collation="C"), "postgresql"), nullable=False),
        sa.Column("pathway", sa.String().with_variant(sa.String(collation="C"), "postgresql"), nullable=False),
        sa.Column("effect", sa.String().with_variant(sa.String(collation="C"), "postgresql"), nullable=False),
        sa.Column("visit", sa.Text(), nullable=False),
        sa.Column("low", sa.BigInteger(), nullable=True),
        sa.Column("high", sa.BigInteger(), nullable=True),
        sa.Column("received", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("org", "sender", "control"),
    )
    with op.batch_alter_table("epr_event", schema=None) as batch_op:
        batch_op.create_index("epr_event_episode", ["org", "patient", "pathway"], unique=False)
        batch_op.create_index("epr_event_patient", ["patient"], unique=False)

    op.create_table(
        "epoch",
        sa.Column("name", sa.String().with_variant(sa.String(collation="C"), "postgresql"), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "held_study",
        sa.Column("study_uid", sa.String().with_variant(sa.String(collation="C"), "postgresql"), nullable=False),
        sa.Column("endpoint", sa.String().with_variant(sa.String(collation="C"), "postgresql"), nullable=False),
        sa.Column("id", sa.String().with_variant(sa.String(collation="C"), "postgresql"), nullable=False),
        sa.Column("org", sa.String().with_variant(sa.String(collation="C"), "postgresql"), nullable=False),
        sa.Column("code", sa.String().with_variant(sa.String(collation="C"), "postgresql"), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("state", sa.String().with_variant(sa.String(collation="C"), "postgresql"), nullable=False),
        sa.Column("person", sa.Text(), nullable=False),
        sa.Column("resource", sa.Text(), nullable=False),
        sa.Column("first_at", sa.BigInteger(), nullable=False),
        sa.Column("last_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("study_uid", "endpoint"),
    )
    with op.batch_alter_table("held_study", schema=None) as batch_op:
        batch_op.create_index("held_study_id", ["id"], unique=True)
        batch_op.create_index("held_study_org", ["org", "first_at"], unique=False)

    op.create_table(
        "identity_choice",
        sa.Column("endpoint", sa.String().with_variant(sa.String(collation="C"), "postgresql"), nullable=False),
        sa.Column("stated", sa.String().with_variant(sa.String(collation="C"), "postgresql"), nullable=False),
        sa.Column("patient", sa.String().with_variant(sa.String(collation="C"), "postgresql"), nullable=False),
        sa.Column("chosen_by", sa.String().with_variant(sa.String(collation="C"), "postgresql"), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("endpoint", "stated"),
    )
    op.create_table(
        "history",
        sa.Column("patient", sa.BigInteger(), nullable=False),
        sa.Column("rid", sa.BigInteger(), nullable=False),
        sa.Column("updated", sa.BigInteger(), nullable=False),
        sa.Column("low", sa.BigInteger(), nullable=True),
        sa.Column("high", sa.BigInteger(), nullable=True),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("type", sa.SmallInteger(), nullable=False),
        sa.Column("op", sa.SmallInteger(), nullable=False),
        sa.Column("deleted", sa.Boolean(), nullable=False),
        sa.Column("id", sa.String().with_variant(sa.String(collation="C"), "postgresql"), nullable=False),
        sa.Column("owner", sa.String().with_variant(sa.String(collation="C"), "postgresql"), nullable=True),
        sa.Column("status", sa.String().with_variant(sa.String(collation="C"), "postgresql"), nullable=True),
        sa.Column("facts", sa.String().with_variant(sa.String(collation="C"), "postgresql"), nullable=True),
        sa.Column("content", sa.LargeBinary(), nullable=False),
    )
    with op.batch_alter_table("history", schema=None) as batch_op:
        batch_op.create_index("history_rid", ["rid", "version"], unique=False)
        batch_op.create_index("history_version", ["patient", "rid", "version"], unique=True)

    op.create_table(
        "idempotency_key",
        sa.Column("holder", sa.LargeBinary(), nullable=False),
        sa.Column("key", sa.String().with_variant(sa.String(collation="C"), "postgresql"), nullable=False),
        sa.Column("part", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("request", sa.LargeBinary(), nullable=False),
        sa.Column("answer", sa.LargeBinary(), nullable=True),
        sa.PrimaryKeyConstraint("holder", "key", "part"),
    )
    with op.batch_alter_table("idempotency_key", schema=None) as batch_op:
        batch_op.create_index("idempotency_key_at", ["at"], unique=False)

    op.create_table(
        "identifier",
        sa.Column("patient", sa.BigInteger(), nullable=False),
        sa.Column("rid", sa.BigInteger(), nullable=False),
        sa.Column("system", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.BigInteger(), nullable=False),
        sa.Column("param", sa.Integer(), nullable=False),
        sa.Column("value", sa.String().with_variant(sa.String(collation="C"), "postgresql"), nullable=False),
    )
    with op.batch_alter_table("identifier", schema=None) as batch_op:
        batch_op.create_index("identifier_patient", ["patient", "rid"], unique=False)
        batch_op.create_index("identifier_value", ["value", "param"], unique=False)

    op.create_table(
        "identity",
        sa.Column("type", sa.SmallInteger(), nullable=False),
        sa.Column("id", sa.String().with_variant(sa.String(collation="C"), "postgresql"), nullable=False),
        sa.Column("rid", sa.BigInteger(), nullable=False),
        sa.Column("patient", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("type", "id"),
    )
    op.create_table(
        "import_mark",
        sa.Column("file", sa.String().with_variant(sa.String(collation="C"), "postgresql"), nullable=False),
        sa.Column("place", sa.Text(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("file"),
    )
    op.create_table(
        "match_key",
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("hash"),
    )
    op.create_table(
        "number",
        sa.Column("patient", sa.BigInteger(), nullable=False),
        sa.Column("rid", sa.BigInteger(), nullable=False),
        sa.Column("param", sa.Integer(), nullable=False),
        sa.Column("low", sa.Float(), nullable=False),
    )
    with op.batch_alter_table("number", schema=None) as batch_op:
        batch_op.create_index("number_patient", ["patient", "rid"], unique=False)
        batch_op.create_index("number_value", ["param", "low"], unique=False)

    op.create_table(
        "oauth_assertion",
        sa.Column("client", sa.String().with_variant(sa.String(collation="C"), "postgresql"), nullable=False),
        sa.Column("jti", sa.String().with_variant(sa.String(collation="C"), "postgresql"), nullable=False),
        sa.Column("expires", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("client", "jti"),
    )
    op.create_table(
        "oauth_client",
        sa.Column("id", sa.String().with_variant(sa.String(collation="C"), "postgresql"), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("kind", sa.String().with_variant(sa.String(collation="C"), "postgresql"), nullable=False),
        sa.Column("organisation", sa.String().with_variant(sa.String(collation="C"), "postgresql"), nullable=False),
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column("role", sa.String().with_variant(sa.String(collation="C"), "postgresql"), nullable=False),
        sa.Column("purpose", sa.String().with_variant(sa.String(collation="C"), "postgresql"), nullable=True),
        sa.Column("jwks", sa.Text(), nullable=True),
        sa.Column("jwks_url", sa.Text(), nullable=True),
        sa.Column("secret_hash", sa.Text(), nullable=True),
        sa.Column("redirect_uris", sa.Text(), nullable=False),
        sa.Column("launch_url", sa.Text(), nullable=True),
        sa.Column("disabled", sa.Boolean(), nullable=False),
        sa.Column("tolerates", sa.Text(), nullable=False),
        sa.Column("flush_url", sa.Text(), nullable=True),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "oauth_code",
        sa.Column("id", sa.String().with_variant(sa.String(collation="C"), "postgresql"), nullable=False),
        sa.Column("family", sa.String().with_variant(sa.String(collation="C"), "postgresql"), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("expires", sa.BigInteger(), nullable=False),
        sa.Column("used", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "oauth_family",
        sa.Column("id", sa.String().with_variant(sa.String(collation="C"), "postgresql"), nullable=False),
        sa.Column("client", sa.String().with_variant(sa.String(collation="C"), "postgresql"), nullable=False),
        sa.Column("session", sa.String().with_variant(sa.String(collation="C"), "postgresql"), nullable=True),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("expires", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "oauth_launch",
        sa.Column("id", sa.String().with_variant(sa.String(collation="C"), "postgresql"), nullable=False),
        sa.Column("client", sa.String().with_variant(sa.String(collation="C"), "postgresql"), nullable=False),
        sa.Column("usr", sa.String().with_variant(sa.String(collation="C"), "postgresql"), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("expires", sa.BigInteger(), nullable=False),
        sa.Column("used", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "former",
        sa.Column("rid", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("patient", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("rid", "patient"),
    )
    op.create_table(
        "draft",
        sa.Column("id", sa.String().with_variant(sa.String(collation="C"), "postgresql"), nullable=False),
        sa.Column("browser", sa.String().with_variant(sa.String(collation="C"), "postgresql"), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("expires", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "oauth_pending",
        sa.Column("id", sa.String().with_variant(sa.String(collation="C"), "postgresql"), nullable=False),
        sa.Column("browser", sa.String().with_variant(sa.String(collation="C"), "postgresql"), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("expires", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "oauth_refresh",
        sa.Column("id", sa.String().with_variant(sa.String(collation="C"), "postgresql"), nullable=False),
        sa.Column("family", sa.String().with_variant(sa.String(collation="C"), "postgresql"), nullable=False),
        sa.Column("expires", sa.BigInteger(), nullable=False),
        sa.Column("used", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    with op.batch_alter_table("oauth_refresh", schema=None) as batch_op:
        batch_op.create_index("oauth_refresh_family", ["family"], unique=False)

    op.create_table(
        "oauth_revoked",
        sa.Column("token", sa.String().with_variant(sa.String(collation="C"), "postgresql"), nullable=False),
        sa.Column("expires", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("token"),
    )
    op.create_table(
        "oauth_session",
        sa.Column("id", sa.String().with_variant(sa.String(collation="C"), "postgresql"), nullable=False),
        sa.Column("usr", sa.String().with_variant(sa.String(collation="C"), "postgresql"), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("expires", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "oauth_user",
        sa.Column("id", sa.String().with_variant(sa.String(collation="C"), "postgresql"), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("role", sa.String().with_variant(sa.String(collation="C"), "postgresql"), nullable=False),
        sa.Column("organisation", sa.String().with_variant(sa.String(collation="C"), "postgresql"), nullable=True),
        sa.Column("practitioner", sa.String().with_variant(sa.String(collation="C"), "postgresql"), nullable=True),
        sa.Column("patient", sa.String().with_variant(sa.String(collation="C"), "postgresql"), nullable=True),
        sa.Column("password", sa.Text(), nullable=False),
        sa.Column("disabled", sa.Boolean(), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("locked", sa.BigInteger(), nullable=False),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "organisation",
        sa.Column("rid", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("id", sa.String().with_variant(sa.String(collation="C"), "postgresql"), nullable=False),
        sa.Column("key", sa.String().with_variant(sa.String(collation="C"), "postgresql"), nullable=False),
        sa.Column("parent", sa.String().with_variant(sa.String(collation="C"), "postgresql"), nullable=True),
        sa.Column("kinds", sa.Text(), nullable=False),
        sa.Column("successor", sa.String().with_variant(sa.String(collation="C"), "postgresql"), nullable=True),
        sa.PrimaryKeyConstraint("rid"),
    )
    with op.batch_alter_table("organisation", schema=None) as batch_op:
        batch_op.create_index("organisation_id", ["id"], unique=False)
        batch_op.create_index("organisation_key", ["key"], unique=False)

    op.create_table(
        "outbox",
        sa.Column("seq", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("xid", sa.BigInteger(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("topic", sa.String().with_variant(sa.String(collation="C"), "postgresql"), nullable=False),
        sa.Column("patient", sa.BigInteger(), nullable=False),
        sa.Column("rid", sa.BigInteger(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("seq"),
    )
    with op.batch_alter_table("outbox", schema=None) as batch_op:
        batch_op.create_index("outbox_order", ["xid", "seq"], unique=False)

    op.create_table(
        "person",
        sa.Column("patient", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("id", sa.String().with_variant(sa.String(collation="C"), "postgresql"), nullable=False),
        sa.Column("grp", sa.BigInteger(), nullable=False),
        sa.Column("flags", sa.SmallInteger(), nullable=False),
        sa.PrimaryKeyConstraint("patient"),
    )
    with op.batch_alter_table("person", schema=None) as batch_op:
        batch_op.create_index("person_group", ["grp"], unique=False)

    op.create_table(
        "reference",
        sa.Column("patient", sa.BigInteger(), nullable=False),
        sa.Column("rid", sa.BigInteger(), nullable=False),
        sa.Column("param", sa.Integer(), nullable=False),
        sa.Column("target_type", sa.SmallInteger(), nullable=False),
        sa.Column("target", sa.String().with_variant(sa.String(collation="C"), "postgresql"), nullable=False),
    )
    with op.batch_alter_table("reference", schema=None) as batch_op:
        batch_op.create_index("reference_patient", ["patient", "rid"], unique=False)
        batch_op.create_index("reference_target", ["target", "target_type", "param"], unique=False)

    op.create_table(
        "relationship",
        sa.Column("patient", sa.BigInteger(), nullable=False),
        sa.Column("rid", sa.BigInteger(), nullable=False),
        sa.Column("source", sa.String().with_variant(sa.String(collation="C"), "postgresql"), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String().with_variant(sa.String(collation="C"), "postgresql"), nullable=False),
        sa.Column("status", sa.String().with_variant(sa.String(collation="C"), "postgresql"), nullable=False),
        sa.Column("org", sa.String().with_variant(sa.String(collation="C"), "postgresql"), nullable=False),
        sa.Column("members", sa.Text(), nullable=False),
        sa.Column("low", sa.BigInteger(), nullable=True),
        sa.Column("high", sa.BigInteger(), nullable=True),
    )
    with op.batch_alter_table("relationship", schema=None) as batch_op:
        batch_op.create_index("relationship_org", ["org", "kind", "status"], unique=False)
        batch_op.create_index(
            "relationship_to_come",
            ["low"],
            unique=False,
            postgresql_where=sa.text("status IN ('planned', 'booked')"),
            sqlite_where=sa.text("status IN ('planned', 'booked')"),
        )
        batch_op.create_index("relationship_patient", ["patient", "rid"], unique=False)

    op.create_table(
        "resource",
        sa.Column("patient", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("rid", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("updated", sa.BigInteger(), nullable=False),
        sa.Column("latest", sa.BigInteger(), nullable=False),
        sa.Column("low", sa.BigInteger(), nullable=True),
        sa.Column("high", sa.BigInteger(), nullable=True),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("type", sa.SmallInteger(), nullable=False),
        sa.Column("op", sa.SmallInteger(), nullable=False),
        sa.Column("deleted", sa.Boolean(), nullable=False),
        sa.Column("id", sa.String().with_variant(sa.String(collation="C"), "postgresql"), nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.Column("owner", sa.String().with_variant(sa.String(collation="C"), "postgresql"), nullable=True),
        sa.Column("status", sa.String().with_variant(sa.String(collation="C"), "postgresql"), nullable=True),
        sa.Column("facts", sa.String().with_variant(sa.String(collation="C"), "postgresql"), nullable=True),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("patient", "rid"),
    )
    with op.batch_alter_table("resource", schema=None) as batch_op:
        batch_op.create_index("resource_latest", ["type", "latest", "rid"], unique=False)
        batch_op.create_index("resource_type", ["type", "rid"], unique=False)
        batch_op.create_index("resource_newest", ["type", "updated", "rid"], unique=False)
        batch_op.create_index("resource_patient", ["patient", "type", "updated"], unique=False)
        batch_op.create_index("resource_rid", ["rid"], unique=False)

    op.create_table(
        "source_day",
        sa.Column("name", sa.String().with_variant(sa.String(collation="C"), "postgresql"), nullable=False),
        sa.Column("day", sa.String().with_variant(sa.String(collation="C"), "postgresql"), nullable=False),
        sa.Column("studies", sa.Integer(), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("name", "day"),
    )
    op.create_table(
        "source_state",
        sa.Column("name", sa.String().with_variant(sa.String(collation="C"), "postgresql"), nullable=False),
        sa.Column("kind", sa.String().with_variant(sa.String(collation="C"), "postgresql"), nullable=False),
        sa.Column("endpoint", sa.String().with_variant(sa.String(collation="C"), "postgresql"), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("day", sa.String().with_variant(sa.String(collation="C"), "postgresql"), nullable=False),
        sa.Column("lag", sa.BigInteger(), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("problem", sa.Text(), nullable=False),
        sa.Column("attempted", sa.BigInteger(), nullable=False),
        sa.Column("succeeded", sa.BigInteger(), nullable=False),
        sa.Column("reconciled", sa.BigInteger(), nullable=False),
        sa.Column("patience", sa.BigInteger(), nullable=False),
        sa.Column("pending", sa.Text(), nullable=False),
        sa.Column("lease", sa.BigInteger(), nullable=False),
        sa.Column("holder", sa.String().with_variant(sa.String(collation="C"), "postgresql"), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "string",
        sa.Column("patient", sa.BigInteger(), nullable=False),
        sa.Column("rid", sa.BigInteger(), nullable=False),
        sa.Column("param", sa.Integer(), nullable=False),
        sa.Column("norm", sa.String().with_variant(sa.String(collation="C"), "postgresql"), nullable=False),
        sa.Column("exact", sa.String().with_variant(sa.String(collation="C"), "postgresql"), nullable=False),
        sa.Column("whole", sa.Text(), nullable=True),
    )
    with op.batch_alter_table("string", schema=None) as batch_op:
        batch_op.create_index("string_patient", ["patient", "rid"], unique=False)
        batch_op.create_index("string_value", ["param", "norm"], unique=False)

    op.create_table(
        "token",
        sa.Column("patient", sa.BigInteger(), nullable=False),
        sa.Column("rid", sa.BigInteger(), nullable=False),
        sa.Column("code", sa.BigInteger(), nullable=False),
        sa.Column("system", sa.BigInteger(), nullable=False),
        sa.Column("param", sa.Integer(), nullable=False),
        sa.Column("word", sa.String().with_variant(sa.String(collation="C"), "postgresql"), nullable=False),
    )
    with op.batch_alter_table("token", schema=None) as batch_op:
        batch_op.create_index("token_patient", ["patient", "rid"], unique=False)
        batch_op.create_index("token_value", ["param", "code", "system"], unique=False)

    op.create_table(
        "uid",
        sa.Column("patient", sa.BigInteger(), nullable=False),
        sa.Column("rid", sa.BigInteger(), nullable=False),
        sa.Column("value", sa.BigInteger(), nullable=False),
    )
    with op.batch_alter_table("uid", schema=None) as batch_op:
        batch_op.create_index("uid_patient", ["patient", "rid"], unique=False)
        batch_op.create_index("uid_value", ["value"], unique=False)

    op.create_table(
        "announced",
        sa.Column("topic", sa.String().with_variant(sa.String(collation="C"), "postgresql"), nullable=False),
        sa.Column("rid", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("mark", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("topic", "rid", "mark"),
    )
    op.create_table(
        "notification",
        sa.Column("seq", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("subscription", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.SmallInteger(), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=True),
        sa.Column("topic", sa.String().with_variant(sa.String(collation="C"), "postgresql"), nullable=False),
        sa.Column("type", sa.SmallInteger(), nullable=False),
        sa.Column("focus", sa.String().with_variant(sa.String(collation="C"), "postgresql"), nullable=False),
        sa.Column("rid", sa.BigInteger(), nullable=False),
        sa.Column("patient", sa.BigInteger(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("op", sa.SmallInteger(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("settled", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("seq"),
    )
    with op.batch_alter_table("notification", schema=None) as batch_op:
        batch_op.create_index("notification_number", ["subscription", "number"], unique=False)
        batch_op.create_index("notification_queue", ["subscription", "state", "seq"], unique=False)

    op.create_table(
        "progress",
        sa.Column("name", sa.String().with_variant(sa.String(collation="C"), "postgresql"), nullable=False),
        sa.Column("xid", sa.BigInteger(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "subscription",
        sa.Column("rid", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("id", sa.String().with_variant(sa.String(collation="C"), "postgresql"), nullable=False),
        sa.Column("client", sa.String().with_variant(sa.String(collation="C"), "postgresql"), nullable=False),
        sa.Column("state", sa.String().with_variant(sa.String(collation="C"), "postgresql"), nullable=False),
        sa.Column("sent", sa.BigInteger(), nullable=False),
        sa.Column("due", sa.BigInteger(), nullable=True),
        sa.Column("lease", sa.BigInteger(), nullable=False),
        sa.Column("holder", sa.String().with_variant(sa.String(collation="C"), "postgresql"), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("failing", sa.BigInteger(), nullable=True),
        sa.Column("problem", sa.Text(), nullable=False),
        sa.Column("spoke", sa.BigInteger(), nullable=False),
        sa.Column("heartbeat", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("rid"),
    )
    with op.batch_alter_table("subscription", schema=None) as batch_op:
        batch_op.create_index("subscription_due", ["due"], unique=False)
        batch_op.create_index("subscription_id", ["id"], unique=False)

    op.create_table(
        "told",
        sa.Column("patient", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("rid", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("client", sa.String().with_variant(sa.String(collation="C"), "postgresql"), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("shown", sa.Boolean(), nullable=False),
        sa.Column("recheck", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("patient", "rid", "client"),
    )
    with op.batch_alter_table("told", schema=None) as batch_op:
        batch_op.create_index("told_recheck", ["recheck"], unique=False)
        batch_op.create_index("told_rid", ["rid"], unique=False)
    compress("resource", "history")


def compress(*tables: str) -> None:
    """Content is written and read far more often than it is big: PostgreSQL's faster method, where the server has it."""
    connection = op.get_bind()
    if connection.dialect.name != "postgresql":
        return
    has = "SELECT 'lz4' = ANY (enumvals) FROM pg_settings WHERE name = 'default_toast_compression'"
    if connection.exec_driver_sql(has).scalar():
        for table in tables:
            op.execute(f"ALTER TABLE {table} ALTER COLUMN content SET COMPRESSION lz4")


def downgrade() -> None:
    with op.batch_alter_table("told", schema=None) as batch_op:
        batch_op.drop_index("told_rid")
        batch_op.drop_index("told_recheck")

    op.drop_table("told")
    with op.batch_alter_table("subscription", schema=None) as batch_op:
        batch_op.drop_index("subscription_id")
        batch_op.drop_index("subscription_due")

    op.drop_table("subscription")
    op.drop_table("progress")
    with op.batch_alter_table("notification", schema=None) as batch_op:
        batch_op.drop_index("notification_queue")
        batch_op.drop_index("notification_number")

    op.drop_table("notification")
    op.drop_table("announced")

    with op.batch_alter_table("uid", schema=None) as batch_op:
        batch_op.drop_index("uid_value")
        batch_op.drop_index("uid_patient")

    op.drop_table("uid")
    with op.batch_alter_table("token", schema=None) as batch_op:
        batch_op.drop_index("token_value")
        batch_op.drop_index("token_patient")

    op.drop_table("token")
    with op.batch_alter_table("string", schema=None) as batch_op:
        batch_op.drop_index("string_value")
        batch_op.drop_index("string_patient")

    op.drop_table("string")
    op.drop_table("source_state")
    op.drop_table("source_day")
    with op.batch_alter_table("resource", schema=None) as batch_op:
        batch_op.drop_index("resource_rid")
        batch_op.drop_index("resource_patient")
        batch_op.drop_index("resource_newest")
        batch_op.drop_index("resource_latest")
        batch_op.drop_index("resource_type")

    op.drop_table("resource")
    with op.batch_alter_table("relationship", schema=None) as batch_op:
        batch_op.drop_index("relationship_patient")
        batch_op.drop_index("relationship_to_come")
        batch_op.drop_index("relationship_org")

    op.drop_table("relationship")
    with op.batch_alter_table("reference", schema=None) as batch_op:
        batch_op.drop_index("reference_target")
        batch_op.drop_index("reference_patient")

    op.drop_table("reference")
    with op.batch_alter_table("person", schema=None) as batch_op:
        batch_op.drop_index("person_group")

    op.drop_table("person")
    with op.batch_alter_table("outbox", schema=None) as batch_op:
        batch_op.drop_index("outbox_order")

    op.drop_table("outbox")
    with op.batch_alter_table("organisation", schema=None) as batch_op:
        batch_op.drop_index("organisation_key")
        batch_op.drop_index("organisation_id")

    op.drop_table("organisation")
    op.drop_table("oauth_user")
    op.drop_table("oauth_session")
    op.drop_table("oauth_revoked")
    with op.batch_alter_table("oauth_refresh", schema=None) as batch_op:
        batch_op.drop_index("oauth_refresh_family")

    op.drop_table("oauth_refresh")
    op.drop_table("oauth_pending")
    op.drop_table("draft")
    op.drop_table("former")
    op.drop_table("oauth_launch")
    op.drop_table("oauth_family")
    op.drop_table("oauth_code")
    op.drop_table("oauth_client")
    op.drop_table("oauth_assertion")
    with op.batch_alter_table("number", schema=None) as batch_op:
        batch_op.drop_index("number_value")
        batch_op.drop_index("number_patient")

    op.drop_table("number")
    op.drop_table("match_key")
    op.drop_table("identity")
    with op.batch_alter_table("identifier", schema=None) as batch_op:
        batch_op.drop_index("identifier_value")
        batch_op.drop_index("identifier_patient")

    op.drop_table("identifier")
    op.drop_table("import_mark")
    with op.batch_alter_table("idempotency_key", schema=None) as batch_op:
        batch_op.drop_index("idempotency_key_at")

    op.drop_table("idempotency_key")
    with op.batch_alter_table("history", schema=None) as batch_op:
        batch_op.drop_index("history_version")
        batch_op.drop_index("history_rid")

    op.drop_table("history")
    with op.batch_alter_table("held_study", schema=None) as batch_op:
        batch_op.drop_index("held_study_org")
        batch_op.drop_index("held_study_id")

    op.drop_table("held_study")
    op.drop_table("identity_choice")
    op.drop_table("epoch")
    with op.batch_alter_table("epr_event", schema=None) as batch_op:
        batch_op.drop_index("epr_event_patient")
        batch_op.drop_index("epr_event_episode")

    op.drop_table("epr_event")
    with op.batch_alter_table("agenda", schema=None) as batch_op:
        batch_op.drop_index("agenda_at")

    op.drop_table("agenda")
    with op.batch_alter_table("attempt", schema=None) as batch_op:
        batch_op.drop_index("attempt_holder")
        batch_op.drop_index("attempt_at")

    op.drop_table("attempt")
    op.drop_table("emergency_lock")
    with op.batch_alter_table("emergency_grant", schema=None) as batch_op:
        batch_op.drop_index("emergency_grant_id")
        batch_op.drop_index("emergency_grant_holder")

    op.drop_table("emergency_grant")
    with op.batch_alter_table("directive", schema=None) as batch_op:
        batch_op.drop_index("directive_patient")

    op.drop_table("directive")
    with op.batch_alter_table("date", schema=None) as batch_op:
        batch_op.drop_index("date_value")
        batch_op.drop_index("date_patient")

    op.drop_table("date")
    with op.batch_alter_table("change", schema=None) as batch_op:
        batch_op.drop_index("change_updated")
        batch_op.drop_index("change_order")

    op.drop_table("change")
    op.drop_table("policy_set")
    op.drop_table("audit_chain")
    with op.batch_alter_table("audit_link", schema=None) as batch_op:
        batch_op.drop_index("audit_link_seq")

    op.drop_table("audit_link")
    with op.batch_alter_table("audit", schema=None) as batch_op:
        batch_op.drop_index("audit_patient")
        batch_op.drop_index("audit_id")
        batch_op.drop_index("audit_at")

    op.drop_table("audit")
