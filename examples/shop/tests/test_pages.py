import logging


def test_the_catalogue_lists_the_products(browser):
    assert "Teapot" in browser.get("/").text


def test_a_chosen_product_is_in_the_cart(browser):
    answer = browser.form("/products/1", "/cart/1", quantity="2")
    assert answer.status_code == 302
    assert "49.00" in browser.get("/cart").text
    browser.form("/cart", "/cart/1", quantity="0")
    assert "It is empty." in browser.get("/cart").text


def test_a_review_is_shown_and_escaped(browser, caplog):
    with caplog.at_level(logging.INFO):
        answer = browser.form("/products/1", "/products/1/reviews", author="<b>Eve</b>", text="<script>alert(1)</script>")
    assert answer.status_code == 302
    page = browser.get("/products/1").text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page and "<script" not in page and "<b>" not in page
    assert "review published for product 1" in caplog.messages


def test_a_wrong_form_is_shown_again(browser):
    answer = browser.form("/products/1", "/cart/1", quantity="21")
    assert answer.status_code == 422
    assert "Number must be between 0 and 20." in answer.text
    assert browser.form("/products/1", "/products/1/reviews", author="x" * 61, text="y").status_code == 422


def test_a_form_without_its_token_is_refused(browser):
    assert browser.send("POST", "/cart/1", data={"quantity": 1}).status_code == 400


def test_a_form_from_another_site_is_refused(browser):
    token = browser.get("/api/token").json["csrf_token"]
    answer = browser.send(
        "POST", "/cart/1", data={"quantity": 1, "csrf_token": token}, headers={"Referer": "https://evil.test/"}
    )
    assert answer.status_code == 400


def test_the_cookie_is_httponly_secure_and_samesite(browser):
    cookie = browser.form("/products/1", "/cart/1", quantity="1").headers["Set-Cookie"]
    assert cookie.startswith("__Host-shop=")
    assert {"Secure", "HttpOnly", "Path=/", "SameSite=Lax"} <= set(cookie.split("; "))
    assert "Domain" not in cookie


def test_a_body_over_the_limit_is_refused(browser):
    assert browser.send("POST", "/cart/1", data=b"x" * 1_100_000, content_type="text/plain").status_code == 413


def test_pages_carry_no_inline_style_or_script(browser):
    for path in ("/", "/products/1", "/cart", "/nowhere"):
        page = browser.get(path).text
        assert "<script" not in page and "<style" not in page and "style=" not in page and " on" + "click" not in page


def test_an_unknown_page_is_an_html_404(browser):
    for path in ("/nowhere", "/products/99"):
        answer = browser.get(path)
        assert answer.status_code == 404
        assert answer.mimetype == "text/html" and "Not Found" in answer.text


def test_a_failure_shows_no_traceback(app, settings, browser, caplog):
    app.config["DATABASE"] = "/nonexistent/shop.sqlite3"
    app.config["PROPAGATE_EXCEPTIONS"] = False
    answer = browser.get("/")
    assert answer.status_code == 500
    assert "Traceback" not in answer.text and "sqlite" not in answer.text
    assert "unable to open database file" in caplog.text


def test_responses_are_not_cached(browser):
    assert browser.get("/cart").headers["Cache-Control"] == "no-store"


def test_the_client_and_the_scheme_come_from_one_proxy_and_the_host_never(app):
    @app.get("/who")
    def who():
        from flask import request

        return {"client": request.remote_addr, "url": request.url}

    headers = {
        "X-Forwarded-For": "192.0.2.66, 198.51.100.7",
        "X-Forwarded-Proto": "https",
        "X-Forwarded-Host": "evil.test",
        "X-Forwarded-Prefix": "/evil",
    }
    answer = app.test_client().get("/who", base_url="http://shop.test", headers=headers).json
    assert answer == {"client": "198.51.100.7", "url": "https://shop.test/who"}
