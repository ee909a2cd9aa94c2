"""The pages for people."""

from flask import Blueprint, abort, current_app, flash, redirect, render_template, url_for
from werkzeug.wrappers import Response

from . import cart, db
from .forms import CartForm, ReviewForm
from .limits import changes

blueprint = Blueprint("pages", __name__)


@blueprint.app_template_filter("euros")
def euros(cents: int) -> str:
    """A price as people write it."""
    return f"{cents / 100:.2f} €"


@blueprint.get("/")
def catalogue() -> str:
    """All products."""
    return render_template("catalogue.html", products=db.products())


@blueprint.get("/products/<int:product_id>")
def product(product_id: int) -> str:
    """One product with its reviews and the forms."""
    return _product_page(product_id, CartForm(), ReviewForm())


@blueprint.post("/products/<int:product_id>/reviews")
@changes
def review(product_id: int) -> str | Response | tuple[str, int]:
    """Publish a review."""
    form = ReviewForm()
    if not form.validate_on_submit():
        return _product_page(product_id, CartForm(formdata=None), form), 422
    if db.product(product_id) is None:
        abort(404)
    db.add_review(product_id, form.author.data, form.text.data)
    current_app.logger.info("review published for product %d", product_id)
    flash("Thank you for your review.")
    return redirect(url_for("pages.product", product_id=product_id))


@blueprint.get("/cart")
def show_cart() -> str:
    """The user's choice."""
    return render_template("cart.html", lines=cart.lines(), total=cart.total_cents(), form=CartForm())


@blueprint.post("/cart/<int:product_id>")
@changes
def change_cart(product_id: int) -> str | Response | tuple[str, int]:
    """Set how many of a product are in the cart."""
    form = CartForm()
    if not form.validate_on_submit():
        return _product_page(product_id, form, ReviewForm(formdata=None)), 422
    if db.product(product_id) is None:
        abort(404)
    cart.put(product_id, form.quantity.data)
    current_app.logger.info("cart changed: product %d, quantity %d", product_id, form.quantity.data)
    return redirect(url_for("pages.show_cart"))


def _product_page(product_id: int, cart_form: CartForm, review_form: ReviewForm) -> str:
    found = db.product(product_id)
    if found is None:
        abort(404)
    return render_template(
        "product.html", product=found, reviews=db.reviews(product_id), cart_form=cart_form, review_form=review_form
    )
