"""What a minute's tokens come to is kept in `quota_use`, in rows of their own period."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


_IS_MINUTE = sa.text("period = 'minute'")


def upgrade() -> None:
    """One for each subscription. Each is made when somebody asks for it first."""
    op.create_index(
        "ix_quota_use_minute",
        "quota_use",
        ["subscription_id"],
        unique=True,
        sqlite_where=_IS_MINUTE,
        postgresql_where=_IS_MINUTE,
    )


def downgrade() -> None:
    """Remove them: what did not know of them would not keep them right."""
    op.drop_index("ix_quota_use_minute", "quota_use")
    op.execute("DELETE FROM quota_use WHERE period = 'minute'")
