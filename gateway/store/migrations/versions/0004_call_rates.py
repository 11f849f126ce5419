"""The windows of call rates, for several workers without a Redis."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table and its index."""
    op.create_table(
        "call_rates",
        sa.Column("key", sa.String(80), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("key", "number", name="pk_call_rates"),
    )
    op.create_index("ix_call_rates_at", "call_rates", ["at"])


def downgrade() -> None:
    """Remove the table: every window begins anew."""
    op.drop_index("ix_call_rates_at", "call_rates")
    op.drop_table("call_rates")
