"""A revision for each product and subscription, by which a change can say what it was made from."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Number what there is from 1; every change counts on."""
    for table in ("products", "subscriptions"):
        op.add_column(table, sa.Column("revision", sa.BigInteger(), nullable=False, server_default="1"))


def downgrade() -> None:
    """Forget the revisions."""
    for table in ("products", "subscriptions"):
        op.drop_column(table, "revision")
