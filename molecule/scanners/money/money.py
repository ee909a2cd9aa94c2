"""ihatemoney with its settings from the environment."""

import os

from ihatemoney.run import create_app


class Settings:
    """The settings that its manual requires."""

    SECRET_KEY = os.environ["FLASK_SECRET_KEY"]
    SQLALCHEMY_DATABASE_URI = "sqlite:////var/lib/money/money.db"
    ALLOW_PUBLIC_PROJECT_CREATION = True
    ACTIVATE_DEMO_PROJECT = False


app = create_app(Settings)
