"""A page with an inline style and a script of another site."""

from flask import Flask
from werkzeug.middleware.proxy_fix import ProxyFix

app = Flask(__name__)
app.config.from_mapping(SESSION_COOKIE_SECURE=True, SESSION_COOKIE_SAMESITE="Lax", MAX_CONTENT_LENGTH=1024 * 1024)
app.config.from_prefixed_env()
app.wsgi_app = ProxyFix(app.wsgi_app, x_for=1, x_proto=1, x_host=0)

PAGE = """<!doctype html>
<html lang="en"><head><title>Widgets</title><style>p { color: green }</style>
<script src="https://cdn.example.net/chart.js" integrity="sha384-oqVuAfXRKap7fdgcCY5uykM6+R9GqQ8K/uxy9rx7HNQlGYl1kPzQho1wx4JwY8wC"
 crossorigin="anonymous"></script></head>
<body><p style="margin: 1em">Widgets</p></body></html>
"""


@app.get("/")
def page() -> str:
    """The one page."""
    return PAGE
