from flask_wtf import FlaskForm
from wtforms import PasswordField, StringField, SubmitField
from wtforms.validators import DataRequired


class AccountForm(FlaskForm):
    username = StringField("Username", validators=[DataRequired()])
    password = PasswordField("Password", validators=[DataRequired()])
    submit = SubmitField("Go")


class PostForm(FlaskForm):
    post = StringField("Say something", validators=[DataRequired()])
    submit = SubmitField("Post")
