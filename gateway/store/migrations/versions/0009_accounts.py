"""An account for each subscription, so that one that is made anew under an old id has none of the old calls."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

_TOKENS = ["prompt_tokens", "completion_tokens"]


def upgrade() -> None:
    """All that there is has the account 0 of its id, the kept sums too."""
    for table in ("subscriptions", "calls"):
        op.add_column(table, _account())
    _index_ended(["subscription_id", "account", "ended_at", *_TOKENS])
    op.execute("CREATE TABLE quota_use_before AS SELECT * FROM quota_use")
    _make_quota_use([_account()])
    columns = "subscription_id, kind, period, starts_at, ends_at, used"
    op.execute(f"INSERT INTO quota_use ({columns}, account) SELECT {columns}, 0 FROM quota_use_before")  # noqa: S608
    op.drop_table("quota_use_before")


def downgrade() -> None:
    """Forget the accounts: who had an id counts for who has it. Sums are made anew, when somebody asks for them."""
    _make_quota_use([])
    _index_ended(["subscription_id", "ended_at", *_TOKENS])
    for table in ("calls", "subscriptions"):
        op.drop_column(table, "account")


def _account() -> sa.Column[int]:
    return sa.Column("account", sa.BigInteger(), autoincrement=False, nullable=False, server_default="0")


def _index_ended(columns: list[str]) -> None:
    op.drop_index("ix_calls_ended", "calls")
    op.create_index("ix_calls_ended", "calls", columns)


def _make_quota_use(account: list[sa.Column[int]]) -> None:
    # Anew, since SQLite cannot change a primary key.
    op.drop_table("quota_use")
    op.create_table(
        "quota_use",
        sa.Column("subscription_id", sa.String(80), nullable=False),
        *account,
        sa.Column("kind", sa.String(6), nullable=False),
        sa.Column("period", sa.String(10), nullable=False),
        sa.Column("starts_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ends_at", sa.DateTime(timezone=True)),
        sa.Column("used", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint(
            "subscription_id", *(one.name for one in account), "kind", "period", "starts_at", name="pk_quota_use"
        ),
        sa.CheckConstraint("kind IN ('calls', 'tokens')", name=op.f("ck_quota_use_kind")),
        sa.CheckConstraint("used >= 0", name=op.f("ck_quota_use_used")),
    )
