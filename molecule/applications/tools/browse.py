"""Use a site in headless Chromium, step by step. Reads JSON from standard input and prints JSON.

Input: {"url": "https://shop.example.test", "address": "192.0.2.7", "steps": [step, ...]}. Every name leads to the address. A step is one of

    {"open": "/path", "as": "user:password"}    without a password by default
    {"fill": {"field name": "text or file path", ...}, "form": "CSS selector, form by default"}    fills and submits
    {"click": "CSS selector"}
    {"see": "text of the page"}
    {"tour": 8}    opens the front page and at most as many pages of this site that it links to; each must have a status below 500

Output: {"done": number of steps, "failed": "" or the reason, "console": [messages of level WARNING or SEVERE]}
"""

from __future__ import annotations

import json
import re
import sys
import time
from typing import Any

from selenium import webdriver
from selenium.common.exceptions import StaleElementReferenceException, WebDriverException
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import WebDriverWait

SECONDS = 20
SETTLED_SECONDS = 0.7
AVOIDED = re.compile(r"log.?out|sign.?out|delete|remove|download|\.(?:zip|gz|pdf|json|xml|rss|atom)\b", re.IGNORECASE)


class Browser:
    """One browser with an empty profile."""

    def __init__(self, url: str, address: str) -> None:
        options = webdriver.ChromeOptions()
        for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu", "--no-first-run",
                         "--disable-background-networking", "--disable-component-update", "--disable-sync", "--lang=en",
                         f"--host-resolver-rules=MAP * {address}"):
            options.add_argument(argument)
        # Its own store of CAs does not have the test network's; other tests look at the certificate.
        options.accept_insecure_certs = True
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        self.url = url
        self.driver = webdriver.Chrome(options, webdriver.ChromeService("/usr/bin/chromedriver"))

    def wait(self, selector: str) -> WebElement:
        """Wait until an element is displayed."""
        def displayed(driver: webdriver.Chrome) -> WebElement | None:
            return next((element for element in driver.find_elements(By.CSS_SELECTOR, selector) if element.is_displayed()), None)
        return WebDriverWait(self.driver, SECONDS).until(displayed, f"{selector} on {self.driver.current_url}")

    def step(self, step: dict[str, Any]) -> None:
        """Do one step."""
        if "open" in step:
            self.driver.get((self.url.replace("//", f"//{step['as']}@") if "as" in step else self.url) + step["open"])
        elif "fill" in step:
            form = step.get("form", "form")
            for name, text in step["fill"].items():
                field = self.wait(f"{form} [name={name}]")
                if field.get_attribute("type") != "file":
                    field.clear()
                field.send_keys(text)
            self.wait(f"{form} [type=submit], {form} button:not([type])").click()
        elif "click" in step:
            self.wait(step["click"]).click()
        elif "see" in step:
            # The page may be replaced by the next one meanwhile.
            wait = WebDriverWait(self.driver, SECONDS, ignored_exceptions=[StaleElementReferenceException])
            wait.until(lambda driver: step["see"] in driver.find_element(By.TAG_NAME, "body").text, f"'{step['see']}' on {self.driver.current_url}")
        elif "tour" in step:
            self.tour(step["tour"])
        else:
            sys.exit(f"not a step: {step}")

    def tour(self, pages: int) -> None:
        """Open the front page and pages that it links to."""
        self.look("/")
        links = [link.get_attribute("href") or "" for link in self.driver.find_elements(By.CSS_SELECTOR, "a[href]")]
        own = dict.fromkeys(link.partition("#")[0].removeprefix(self.url) for link in links if link.startswith(self.url + "/"))
        for path in [path for path in own if path != "/" and not AVOIDED.search(path)][:pages]:
            self.look(path)

    def look(self, path: str) -> None:
        """Open a page and wait until its requests are done."""
        self.driver.get(self.url + path)
        time.sleep(SETTLED_SECONDS)
        status = self.driver.execute_script("return performance.getEntriesByType('navigation')[0]?.responseStatus || 0")
        if status >= 500:
            raise WebDriverException(f"status {status} of {path}")

    def console(self) -> list[str]:
        """The console's messages since the last call."""
        return [f"{entry['level']}: {entry['message']}" for entry in self.driver.get_log("browser") if entry["level"] in ("SEVERE", "WARNING")]


def main() -> None:
    """Entry point."""
    journey = json.load(sys.stdin)
    browser = Browser(journey["url"], journey["address"])
    done, failed, console = 0, "", []
    try:
        for step in journey["steps"]:
            browser.step(step)
            console += browser.console()
            done += 1
    except WebDriverException as error:
        failed = f"{json.dumps(step)}: {error.msg} Page: {browser.driver.find_element(By.TAG_NAME, 'body').text[:300]}"
        console += browser.console()
    browser.driver.quit()
    print(json.dumps({"done": done, "failed": failed, "console": console}))


if __name__ == "__main__":
    main()
