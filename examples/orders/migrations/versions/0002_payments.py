"""One payment for each paid order."""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table of payments; its key is what makes paying twice impossible."""
    op.execute("""
        CREATE TABLE payments (
            order_id bigint PRIMARY KEY REFERENCES orders ON DELETE CASCADE,
            method text NOT NULL,
            reference text NOT NULL,
            paid_at timestamptz NOT NULL DEFAULT now()
        )
    """)


def downgrade() -> None:
    """Drop what upgrade created."""
    op.execute("DROP TABLE payments")
