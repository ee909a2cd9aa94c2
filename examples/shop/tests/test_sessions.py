import logging
import time

import pytest
from conftest import Browser

from shop import create_app, sessions


class Shelf(dict):
    """The store's commands that the application uses, on a dictionary."""

    def __init__(self):
        super().__init__()
        self.seconds = {}

    def set(self, key, value, ex):
        self[key], self.seconds[key] = value.encode(), ex

    def delete(self, key):
        self.pop(key, None)


@pytest.fixture
def shelf(app):
    shelf = Shelf()
    app.session_interface = sessions.StoredSessions(shelf)
    return shelf


def cookie_of(browser):
    return browser.client.get_cookie("__Host-shop", domain="shop.test")


def test_without_a_store_sessions_are_signed_cookies_and_the_log_reports_it(settings, caplog):
    with caplog.at_level(logging.INFO):
        app = create_app(settings)
    assert any("FLASK_SESSION_STORE_URL" in message for message in caplog.messages)
    assert type(app.session_interface).__name__ == "SecureCookieSessionInterface"


def test_the_cookie_holds_an_id_and_the_store_a_cart_under_its_hash(browser, shelf):
    answer = browser.form("/products/1", "/cart/1", quantity="2")
    assert answer.status_code == 302
    assert "49.00" in browser.get("/cart").text
    ((key, text),) = shelf.items()
    sid = cookie_of(browser).value
    assert key.startswith("session:") and sid not in key and len(sid) >= 43
    assert b'"cart":{"1":2}' in text.replace(b" ", b"")
    assert shelf.seconds[key] == 12 * 3600


def test_the_cookie_is_for_this_host_over_https_and_not_for_scripts(browser, shelf):
    cookie = browser.get("/products/1").headers["Set-Cookie"]
    assert cookie.startswith("__Host-shop=")
    assert {"Secure", "HttpOnly", "Path=/", "SameSite=Lax"} <= set(cookie.split("; "))
    assert "Domain" not in cookie


def test_a_client_without_a_cookie_gets_no_session(browser, shelf):
    assert "Set-Cookie" not in browser.get("/").headers
    assert browser.get("/healthz").status_code == 200
    assert not shelf


def test_an_invented_request_id_is_replaced(browser, shelf):
    browser.client.set_cookie("__Host-shop", "chosen-by-an-attacker", domain="shop.test")
    browser.form("/products/1", "/cart/1", quantity="1")
    assert cookie_of(browser).value != "chosen-by-an-attacker"


def test_a_pickle_in_the_store_is_not_run(app, browser, shelf, tmp_path):
    import os
    import pickle

    class Bomb:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "run"),)

    app.config["PROPAGATE_EXCEPTIONS"] = False
    browser.get("/products/1")
    (key,) = shelf
    shelf[key] = pickle.dumps(Bomb())
    assert "Traceback" not in browser.get("/cart").text
    assert not (tmp_path / "run").exists()


@pytest.fixture
def lonely(settings, tmp_path):
    """A shop whose store is not there."""
    app = create_app(settings | {"SESSION_STORE_URL": f"unix://{tmp_path}/nothing.sock"})
    app.config["PROPAGATE_EXCEPTIONS"] = False
    return Browser(app)


def test_without_its_store_it_reports_the_error_without_a_traceback(lonely):
    assert lonely.get("/healthz").status_code == 503
    assert lonely.get("/").status_code == 200, "the catalogue needs no session"
    page = lonely.get("/products/1")
    assert (page.status_code, page.mimetype) == (503, "text/html")
    assert "Set-Cookie" not in page.headers
    lonely.client.set_cookie("__Host-shop", "x" * 43, domain="shop.test")
    for answer in (lonely.get("/cart"), lonely.send("POST", "/cart/1", data={"quantity": 1, "csrf_token": "x"}), lonely.get("/api/cart")):
        assert answer.status_code == 503
        assert "Traceback" not in answer.text and "redis" not in answer.text.lower() and "password" not in answer.text
    assert lonely.get("/api/cart").json["error"] == "Service Unavailable"


def test_it_waits_a_second_for_a_store_that_restarts(lonely):
    began = time.monotonic()
    assert lonely.get("/healthz").status_code == 503
    assert 0.9 < time.monotonic() - began < 5


def test_too_many_changes_are_refused_for_a_while(settings):
    browser = Browser(create_app(settings | {"CHANGES_LIMIT": "3 per minute"}))
    answers = [browser.form("/products/1", "/cart/1", quantity="1").status_code for _unused in range(4)]
    assert answers == [302, 302, 302, 429]
    answer = browser.api("PUT", "/api/cart", {"product_id": 2, "quantity": 3})
    assert (answer.status_code, answer.mimetype) == (429, "application/json")
    assert 0 < int(answer.headers["Retry-After"]) <= 60
    assert browser.get("/cart").status_code == 200, "looking is not changing"
