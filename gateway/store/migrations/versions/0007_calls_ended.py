"""The tokens of calls that ended, in the index by which they are found."""

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_BEFORE = ["subscription_id", "ended_at"]


def upgrade() -> None:
    """Make the index wider."""
    op.drop_index("ix_calls_ended", "calls")
    op.create_index("ix_calls_ended", "calls", [*_BEFORE, "prompt_tokens", "completion_tokens"])


def downgrade() -> None:
    """Make it as it was."""
    op.drop_index("ix_calls_ended", "calls")
    op.create_index("ix_calls_ended", "calls", _BEFORE)
