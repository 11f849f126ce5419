"""The usage ledger, what the windows of quotas have used of it, and whether a product's callers share a cache."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the two tables and the column."""
    op.add_column("products", sa.Column("shared_cache", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.create_table(
        "calls",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("trace_id", sa.String(32), nullable=False),
        sa.Column("subscription_id", sa.String(80), nullable=False),
        sa.Column("key_slot", sa.String(9), nullable=False),
        sa.Column("product_id", sa.String(80), nullable=False),
        sa.Column("operation", sa.String(40), nullable=False),
        sa.Column("model", sa.String(200)),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("day", sa.String(10), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True)),
        sa.Column("beat", sa.Integer(), nullable=False),
        sa.Column("reserved", sa.BigInteger(), nullable=False),
        sa.Column("prompt_tokens", sa.BigInteger(), nullable=False),
        sa.Column("cached_tokens", sa.BigInteger(), nullable=False),
        sa.Column("completion_tokens", sa.BigInteger(), nullable=False),
        sa.Column("delivered_tokens", sa.BigInteger(), nullable=False),
        sa.Column("status", sa.Integer()),
        sa.Column("finish_reason", sa.String(20)),
        sa.Column("first_token_seconds", sa.Float()),
        sa.Column("duration_seconds", sa.Float()),
        sa.PrimaryKeyConstraint("id", name="pk_calls"),
    )
    op.create_index("ix_calls_started", "calls", ["subscription_id", "started_at"])
    op.create_index("ix_calls_ended", "calls", ["subscription_id", "ended_at"])
    runs = sa.text("ended_at IS NULL")
    op.create_index("ix_calls_running", "calls", ["id"], sqlite_where=runs, postgresql_where=runs)
    op.create_table(
        "quota_use",
        sa.Column("subscription_id", sa.String(80), nullable=False),
        sa.Column("kind", sa.String(6), nullable=False),
        sa.Column("period", sa.String(10), nullable=False),
        sa.Column("starts_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ends_at", sa.DateTime(timezone=True)),
        sa.Column("used", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("subscription_id", "kind", "period", "starts_at", name="pk_quota_use"),
        sa.CheckConstraint("kind IN ('calls', 'tokens')", name=op.f("ck_quota_use_kind")),
        sa.CheckConstraint("used >= 0", name=op.f("ck_quota_use_used")),
    )


def downgrade() -> None:
    """Remove them with all that is in them."""
    op.drop_table("quota_use")
    op.drop_index("ix_calls_running", "calls")
    op.drop_index("ix_calls_ended", "calls")
    op.drop_index("ix_calls_started", "calls")
    op.drop_table("calls")
    op.drop_column("products", "shared_cache")
