"""Products with their starters, subscriptions and the hashes of their keys."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the three tables and the two products that every installation starts with."""
    products = op.create_table(
        "products",
        sa.Column("id", sa.String(80), nullable=False),
        sa.Column("name", sa.String(100), nullable=False),
        sa.Column("rate_calls", sa.BigInteger()),
        sa.Column("rate_seconds", sa.Integer()),
        sa.Column("call_quota", sa.BigInteger()),
        sa.Column("call_quota_period", sa.String(10)),
        sa.Column("tokens_per_minute", sa.BigInteger()),
        sa.Column("token_quota", sa.BigInteger()),
        sa.Column("token_quota_period", sa.String(10)),
        sa.Column("max_concurrency", sa.BigInteger()),
        sa.Column("max_tokens", sa.BigInteger()),
        sa.Column("models", sa.JSON(none_as_null=True)),
        sa.Column("priority", sa.Integer()),
        sa.PrimaryKeyConstraint("id", name="pk_products"),
        sa.CheckConstraint("(rate_calls IS NULL) = (rate_seconds IS NULL)", name=op.f("ck_products_rate")),
        sa.CheckConstraint("(call_quota IS NULL) = (call_quota_period IS NULL)", name=op.f("ck_products_call_quota")),
        sa.CheckConstraint(
            "(token_quota IS NULL) = (token_quota_period IS NULL)", name=op.f("ck_products_token_quota")
        ),
    )
    op.create_table(
        "subscriptions",
        sa.Column("id", sa.String(80), nullable=False),
        sa.Column("name", sa.String(100), nullable=False),
        sa.Column("product_id", sa.String(80)),
        sa.Column("state", sa.String(10), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("starts_at", sa.DateTime(timezone=True)),
        sa.Column("expires_at", sa.DateTime(timezone=True)),
        sa.Column("ended_at", sa.DateTime(timezone=True)),
        sa.PrimaryKeyConstraint("id", name="pk_subscriptions"),
        sa.ForeignKeyConstraint(["product_id"], ["products.id"], name="fk_subscriptions_product_id"),
    )
    op.create_index("ix_subscriptions_product_id", "subscriptions", ["product_id"])
    op.create_table(
        "subscription_keys",
        sa.Column("subscription_id", sa.String(80), nullable=False),
        sa.Column("slot", sa.String(9), nullable=False),
        sa.Column("digest", sa.LargeBinary(32), nullable=False),
        sa.PrimaryKeyConstraint("subscription_id", "slot", name="pk_subscription_keys"),
        sa.ForeignKeyConstraint(
            ["subscription_id"],
            ["subscriptions.id"],
            name="fk_subscription_keys_subscription_id",
            ondelete="CASCADE",
        ),
        sa.UniqueConstraint("digest", name="uq_subscription_keys_digest"),
        sa.CheckConstraint("slot IN ('primary', 'secondary')", name=op.f("ck_subscription_keys_slot")),
    )
    starter = {
        "id": "starter",
        "name": "Starter",
        "rate_calls": 5,
        "rate_seconds": 60,
        "call_quota": 100,
        "call_quota_period": "week",
    }
    op.bulk_insert(products, [starter])
    op.bulk_insert(products, [{"id": "unlimited", "name": "Unlimited"}])


def downgrade() -> None:
    """Remove the tables with all that is in them."""
    op.drop_table("subscription_keys")
    op.drop_index("ix_subscriptions_product_id", "subscriptions")
    op.drop_table("subscriptions")
    op.drop_table("products")
