"""The debug traces of requests, for the operator to read within a day."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table and its indexes."""
    op.create_table(
        "traces",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("subscription_id", sa.String(80), nullable=False),
        sa.Column("made_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("document", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_traces"),
        sa.ForeignKeyConstraint(
            ["subscription_id"], ["subscriptions.id"], name="fk_traces_subscription_id", ondelete="CASCADE"
        ),
    )
    op.create_index("ix_traces_made_at", "traces", ["made_at"])
    op.create_index("ix_traces_newest", "traces", ["subscription_id", "made_at"])


def downgrade() -> None:
    """Remove the table: traces are for a day."""
    op.drop_index("ix_traces_newest", "traces")
    op.drop_index("ix_traces_made_at", "traces")
    op.drop_table("traces")
