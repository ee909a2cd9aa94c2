"""The cart: a part of the user's session."""

from flask import session

from . import db

MAX_QUANTITY = 20


def lines() -> list[dict]:
    """The contents of the cart, with current prices; removed products are left out."""
    held = session.get("cart", {})
    return [
        {
            "product_id": product["id"],
            "name": product["name"],
            "quantity": held[str(product["id"])],
            "cents": product["cents"] * held[str(product["id"])],
        }
        for product in db.products()
        if str(product["id"]) in held
    ]


def total_cents() -> int:
    """The price of the whole cart."""
    return sum(line["cents"] for line in lines())


def put(product_id: int, quantity: int) -> None:
    """Set the quantity of one product; 0 takes it out."""
    held = dict(session.get("cart", {}))
    held.pop(str(product_id), None)
    if quantity > 0:
        held[str(product_id)] = min(quantity, MAX_QUANTITY)
    session["cart"] = held
