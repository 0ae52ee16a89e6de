"""What a client may send; pydantic turns everything else away."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Reference = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
OrderId = Annotated[int, Field(ge=1, le=2**63 - 1)]


class NewItem(BaseModel):
    """One line of an order; `unit_price` counts the currency's smallest unit (cents)."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    sku: Reference
    quantity: Annotated[int, Field(ge=1, le=10_000)]
    unit_price: Annotated[int, Field(ge=0, le=100_000_000)]


class NewOrder(BaseModel):
    """The body of POST /orders."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    customer: Reference
    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")] = "EUR"
    items: Annotated[list[NewItem], Field(min_length=1, max_length=100)]


class NewPayment(BaseModel):
    """The body of POST /orders/<id>/pay."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    method: Literal["card", "transfer"]
    reference: Reference


class ListQuery(BaseModel):
    """The query of GET /orders; `before` is the id that the page before ended with."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    customer: Reference | None = None
    limit: Annotated[int, Field(ge=1, le=100)] = 20
    before: OrderId | None = None
