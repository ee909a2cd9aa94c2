"""Schemas of the JSON API. Unknown keys are refused, and types are not guessed."""

from marshmallow import Schema, fields, validate

from .cart import MAX_QUANTITY


class CartItem(Schema):
    """One line of the cart. marshmallow refuses unknown keys unless told otherwise."""

    product_id = fields.Integer(required=True, strict=True, validate=validate.Range(min=1))
    quantity = fields.Integer(required=True, strict=True, validate=validate.Range(min=0, max=MAX_QUANTITY))


class Review(Schema):
    """One review."""

    author = fields.String(required=True, validate=validate.Length(min=1, max=60))
    text = fields.String(required=True, validate=validate.Length(min=1, max=2000))
