"""The answers of calls with an Idempotency-Key, encrypted, for those who send the same again."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table and its index."""
    op.create_table(
        "kept_answers",
        sa.Column("subscription_id", sa.String(80), nullable=False),
        sa.Column("key_digest", sa.LargeBinary(32), nullable=False),
        sa.Column("fingerprint", sa.LargeBinary(32), nullable=False),
        sa.Column("call_id", sa.String(32), nullable=False),
        sa.Column("made_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("answer", sa.LargeBinary()),
        sa.PrimaryKeyConstraint("subscription_id", "key_digest", name="pk_kept_answers"),
        sa.ForeignKeyConstraint(
            ["subscription_id"],
            ["subscriptions.id"],
            name="fk_kept_answers_subscription_id",
            ondelete="CASCADE",
        ),
    )
    op.create_index("ix_kept_answers_made_at", "kept_answers", ["made_at"])


def downgrade() -> None:
    """Remove the table: what is sent again is a new call."""
    op.drop_index("ix_kept_answers_made_at", "kept_answers")
    op.drop_table("kept_answers")
