"""What a minute's tokens come to is kept in `quota_use`, in rows of their own period."""

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Nothing to change: each row is made when somebody asks for it first."""


def downgrade() -> None:
    """Remove them: what did not know of them would not keep them right."""
    op.execute("DELETE FROM quota_use WHERE period = 'minute'")
