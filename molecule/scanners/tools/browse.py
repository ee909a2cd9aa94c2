"""Use ihatemoney as a person does, in headless Chromium: a project, its members, a bill. Prints what got done.

    browse.py URL
"""

from __future__ import annotations

import json
import sys
import time

from selenium import webdriver
from selenium.common.exceptions import WebDriverException
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import Select, WebDriverWait

SECONDS = 30


class Client:
    """A person at a browser."""

    def __init__(self, url: str) -> None:
        options = webdriver.ChromeOptions()
        for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--lang=en"):
            options.add_argument(argument)
        # Its certificate store does not have the test CA; other tests verify the certificate.
        options.accept_insecure_certs = True
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        self.url, self.browser = url, webdriver.Chrome(options, webdriver.ChromeService("/usr/bin/chromedriver"))
        self.console: list[str] = []
        self.project = f"trip-{time.time_ns()}"

    def see(self, selector: str) -> WebElement:
        """Wait until it is there to be used."""
        def shown(browser: webdriver.Chrome) -> WebElement | None:
            return next((element for element in browser.find_elements(By.CSS_SELECTOR, selector) if element.is_displayed()), None)
        return WebDriverWait(self.browser, SECONDS).until(shown, f"{selector} on {self.browser.current_url}")

    def read(self, text: str) -> None:
        """Wait until the page says it."""
        WebDriverWait(self.browser, SECONDS).until(lambda b: text in b.find_element(By.TAG_NAME, "body").text, f"{text} on {self.browser.current_url}")

    def fill(self, form: str, **values: str) -> None:
        """Fill in a form and send it."""
        for name, value in values.items():
            field = self.see(f"{form} [name={name}]")
            field.clear()
            field.send_keys(value)
        self.see(f"{form} [type=submit]").click()

    def go(self, path: str) -> None:
        """Open a page; console messages of the previous one are kept."""
        self.listen()
        self.browser.get(self.url + path)

    def listen(self) -> None:
        """Store the console's messages."""
        self.console += [f"{entry['level']}: {entry['message']}" for entry in self.browser.get_log("browser")
                         if entry["level"] in ("SEVERE", "WARNING")]

    def sign_up(self) -> None:
        """A project of one's own."""
        self.go("/create")
        self.fill("form.form-horizontal", id=self.project, name="Trip", password="cold-river-stones", contact_email="ann@example.com")
        self.see("#add-member-form")

    def members(self) -> None:
        """Two who share."""
        for name in ("Ann", "Bob"):
            self.fill("#add-member-form", name=name)
            self.read(name)

    def bill(self) -> None:
        """What one paid for both, in the dialogue that a script opens."""
        self.see("#new-bill a").click()
        self.see("#bill-form [name=what]").send_keys("Lunch")
        Select(self.see("#bill-form [name=payer]")).select_by_visible_text("Ann")
        self.see("#bill-form [name=amount]").send_keys("20")
        self.see("#bill-form [name=submit]").click()
        self.read("Lunch")

    def sign_out(self) -> None:
        """Leave."""
        self.browser.execute_script("document.querySelector('form[action$=\"/exit\"]').requestSubmit()")
        WebDriverWait(self.browser, SECONDS).until(lambda b: not b.find_elements(By.ID, "add-member-form"), "still signed in")

    def sign_in(self) -> None:
        """Come back."""
        self.go("/authenticate")
        self.fill("form.form-horizontal", id=self.project, password="cold-river-stones")
        self.read("Lunch")


def main(url: str) -> None:
    """Entry point."""
    client = Client(url)
    done, failed = [], ""
    try:
        for name, step in (("sign-up", client.sign_up), ("members", client.members), ("a bill", client.bill),
                           ("sign-out", client.sign_out), ("sign-in", client.sign_in)):
            step()
            done.append(name)
    except WebDriverException as error:
        failed = f"{error} {client.browser.find_element(By.TAG_NAME, 'body').text[:500]}"
    client.listen()
    client.browser.quit()
    print(json.dumps({"done": done, "failed": failed, "console": client.console}))


if __name__ == "__main__":
    main(sys.argv[1])
