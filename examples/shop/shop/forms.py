"""The HTML forms. Each carries a CSRF token by itself."""

from flask_wtf import FlaskForm
from wtforms import IntegerField, StringField, SubmitField, TextAreaField
from wtforms.validators import InputRequired, Length, NumberRange

from .cart import MAX_QUANTITY


class CartForm(FlaskForm):
    """How many of one product; 0 takes it out of the cart."""

    quantity = IntegerField("Quantity", [InputRequired(), NumberRange(0, MAX_QUANTITY)], default=1)
    submit = SubmitField("Put into the cart")


class ReviewForm(FlaskForm):
    """A review of one product."""

    author = StringField("Your name", [InputRequired(), Length(max=60)])
    text = TextAreaField("Your review", [InputRequired(), Length(max=2000)])
    submit = SubmitField("Publish")
