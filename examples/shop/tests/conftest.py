import re
import secrets

import pytest

from shop import create_app


class Browser:
    """A browser, more or less: keeps cookies, speaks HTTPS, sends a Referer and the token."""

    def __init__(self, app):
        self.client = app.test_client()
        self.token = None

    def get(self, path, **more):
        return self.client.get(path, base_url="https://shop.test", **more)

    def send(self, method, path, **more):
        headers = {"Referer": "https://shop.test/"} | more.pop("headers", {})
        return self.client.open(path, method=method, base_url="https://shop.test", headers=headers, **more)

    def api(self, method, path, json, token=True):
        headers = {"X-CSRFToken": self.get("/api/token").json["csrf_token"]} if token else {}
        return self.send(method, path, json=json, headers=headers)

    def form(self, page, path, **fields):
        token = re.search(r'name="csrf_token"[^>]* value="([^"]+)"', self.get(page).text)[1]
        return self.send("POST", path, data=fields | {"csrf_token": token})


@pytest.fixture
def settings(tmp_path):
    return {"SECRET_KEY": "test-" + secrets.token_hex(32), "DATABASE": str(tmp_path / "shop.sqlite3")}


@pytest.fixture
def app(settings):
    return create_app(settings)


@pytest.fixture
def browser(app):
    return Browser(app)
