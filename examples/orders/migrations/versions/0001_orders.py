"""Orders and their items."""

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables that an order lives in."""
    op.execute("""
        CREATE TABLE orders (
            id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
            customer text NOT NULL,
            currency char(3) NOT NULL,
            status text NOT NULL DEFAULT 'open' CHECK (status IN ('open', 'paid')),
            created_at timestamptz NOT NULL DEFAULT now()
        )
    """)
    op.execute("CREATE INDEX orders_by_customer ON orders (customer, id DESC)")
    op.execute("""
        CREATE TABLE order_items (
            order_id bigint NOT NULL REFERENCES orders ON DELETE CASCADE,
            position integer NOT NULL,
            sku text NOT NULL,
            quantity integer NOT NULL CHECK (quantity > 0),
            unit_price bigint NOT NULL CHECK (unit_price >= 0),
            PRIMARY KEY (order_id, position)
        )
    """)


def downgrade() -> None:
    """Drop what upgrade created."""
    op.execute("DROP TABLE order_items")
    op.execute("DROP TABLE orders")
