import pytest


def test_the_products(browser):
    products = browser.get("/api/products").json["products"]
    assert [product["name"] for product in products] == ["Cup", "Tea", "Teapot"]


def test_the_cart(browser):
    answer = browser.api("PUT", "/api/cart", {"product_id": 2, "quantity": 3})
    assert answer.status_code == 200
    assert browser.get("/api/cart").json == {
        "lines": [{"product_id": 2, "name": "Cup", "quantity": 3, "cents": 2670}],
        "total_cents": 2670,
    }
    assert browser.api("PUT", "/api/cart", {"product_id": 2, "quantity": 0}).json["lines"] == []


@pytest.mark.parametrize(
    ("sent", "field"),
    [
        ({"product_id": "2", "quantity": True}, "quantity"),
        ({"product_id": 2, "quantity": 1.5}, "quantity"),
        ({"product_id": 2, "quantity": 21}, "quantity"),
        ({"product_id": 2, "quantity": -1}, "quantity"),
        ({"product_id": 0, "quantity": 1}, "product_id"),
        ({"product_id": 2, "quantity": 1, "price": 0}, "price"),
        ({"quantity": 1}, "product_id"),
        ([], "_schema"),
        ("text", "_schema"),
    ],
)
def test_input_that_is_not_as_described_is_refused_field_by_field(browser, sent, field):
    answer = browser.api("PUT", "/api/cart", sent)
    assert answer.status_code == 422
    assert field in answer.json["fields"]


def test_a_review(browser):
    assert browser.api("POST", "/api/products/1/reviews", {"author": "Ada", "text": "Good."}).status_code == 201
    assert browser.get("/api/products/1/reviews").json["reviews"][0]["author"] == "Ada"


def test_a_change_without_the_token_is_refused(browser):
    browser.get("/api/token")
    answer = browser.api("PUT", "/api/cart", {"product_id": 2, "quantity": 3}, token=False)
    assert answer.status_code == 400
    assert answer.json["message"] == "The CSRF token is missing."
    assert browser.get("/api/cart").json["lines"] == []


def test_errors_are_json(browser):
    for path, status in {"/api/nowhere": 404, "/api/products/99/reviews": 404}.items():
        answer = browser.get(path)
        assert (answer.status_code, answer.mimetype) == (status, "application/json")
    token = browser.get("/api/token").json["csrf_token"]
    answer = browser.send("PUT", "/api/cart", data="{", content_type="application/json", headers={"X-CSRFToken": token})
    assert (answer.status_code, answer.mimetype) == (400, "application/json")
    assert browser.send("DELETE", "/api/cart", headers={"X-CSRFToken": token}).status_code == 405


def test_health(app, browser):
    assert browser.get("/healthz").json == {"status": "ok"}
    app.config["DATABASE"] = "/nonexistent/shop.sqlite3"
    answer = browser.get("/healthz")
    assert (answer.status_code, answer.json) == (503, {"status": "unavailable"})
