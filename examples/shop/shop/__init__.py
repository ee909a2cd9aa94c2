"""A small shop: a catalogue with reviews, a cart, and the same cart as a JSON API."""

import logging

from flask import Flask, Response
from flask_wtf.csrf import CSRFProtect
from werkzeug.middleware.proxy_fix import ProxyFix

from . import api, config, db, errors, health, limits, pages, sessions

csrf = CSRFProtect()


def create_app(settings: dict | None = None) -> Flask:
    """Make the application; `settings` win over the environment and are for tests."""
    # Whoever runs the application may have set up the log already (gunicorn does, as JSON lines).
    # `flask run` has not, and then this does; with a handler in place the call changes nothing.
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")

    app = Flask(__name__)
    config.load(app, settings)

    # One proxy in front sets these two headers itself. The Host header is not taken from
    # X-Forwarded-Host: nothing a client sends may change the names the application answers to.
    app.wsgi_app = ProxyFix(app.wsgi_app, x_for=1, x_proto=1, x_host=0, x_port=0, x_prefix=0)

    sessions.init_app(app)
    limits.init_app(app)  # before the forms: a flood costs no more than a count
    csrf.init_app(app)  # every form and every API call that changes something, with no exemption
    db.init_app(app)
    errors.init_app(app)
    app.register_blueprint(pages.blueprint)
    app.register_blueprint(api.blueprint)
    app.register_blueprint(health.blueprint)

    @app.after_request
    def keep_private(response: Response) -> Response:
        """Responses show a user's own cart and token: no cache may store them."""
        response.headers.setdefault("Cache-Control", "no-store")
        return response

    return app
