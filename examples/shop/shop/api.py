"""The JSON API. It lives on the same session as the pages, so it needs the same CSRF protection:

a client reads a token at /api/token and sends it as X-CSRFToken with every call that changes
something (over HTTPS with a Referer of this site, as browsers do).
"""

from flask import Blueprint, abort, current_app, request
from flask_wtf.csrf import generate_csrf

from . import cart, db
from .limits import changes
from .schemas import CartItem, Review

blueprint = Blueprint("api", __name__, url_prefix="/api")


@blueprint.get("/token")
def token() -> dict:
    """The CSRF token of this session."""
    return {"csrf_token": generate_csrf()}


@blueprint.get("/products")
def products() -> dict:
    """All products."""
    return {"products": [dict(product) for product in db.products()]}


@blueprint.get("/products/<int:product_id>/reviews")
def reviews(product_id: int) -> dict:
    """The reviews of one product."""
    _require_product(product_id)
    return {"reviews": [dict(review) for review in db.reviews(product_id)]}


@blueprint.post("/products/<int:product_id>/reviews")
@changes
def add_review(product_id: int) -> tuple[dict, int]:
    """Publish a review."""
    _require_product(product_id)
    review = Review().load(request.get_json())
    db.add_review(product_id, review["author"], review["text"])
    current_app.logger.info("review published for product %d", product_id)
    return review, 201


@blueprint.get("/cart")
def show_cart() -> dict:
    """The user's choice."""
    return {"lines": cart.lines(), "total_cents": cart.total_cents()}


@blueprint.put("/cart")
@changes
def change_cart() -> dict:
    """Set how many of a product are in the cart."""
    item = CartItem().load(request.get_json())
    _require_product(item["product_id"])
    cart.put(item["product_id"], item["quantity"])
    current_app.logger.info("cart changed: product %d, quantity %d", item["product_id"], item["quantity"])
    return show_cart()


def _require_product(product_id: int) -> None:
    if db.product(product_id) is None:
        abort(404)
