"""Fetch the pages of a new instance once, before it serves, and compare them with the strict policy.

The front page and the pages that are linked from it on are fetched by GET, without credentials, on the same host. Results
are reported only; the health check decides about the activation.
"""

from __future__ import annotations

import http.client
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import urldefrag, urljoin, urlsplit

from ansible_collections.bulwark.flask.plugins.module_utils import page_policy
from ansible_collections.bulwark.flask.plugins.module_utils.release.activate.health import Fetch, follow

MOST_PAGES = 20
HIDDEN = re.compile(r"([^?]*?/\.(?!well-known(?:/|$))[^/?]+)")  # the role nginx_site refuses such paths
# The role nginx_site refuses other methods, and these two for good.
METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
NEVER = ["TRACE", "CONNECT"]
NO_RESPONSE = 0  # in the place of a status
MOST_SCRIPTS = 20
IMPORTED = re.compile(r"""\b(?:from|import)\s*\(?\s*["'](\.{1,2}/[^"'\s]+)["']""")
MOST_TEMPLATES = 2000
LARGEST_TEMPLATE = 512 * 1024
LISTED = 12
TEMPLATES = {".html", ".htm", ".xhtml", ".j2", ".jinja", ".jinja2"}
FOREIGN = {"node_modules", "site-packages", ".git", "tests", "test", "docs"}
# Links that can end a session or change data on GET.
LEFT_OUT = ("logout", "signout", "sign-out", "log-out", "delete", "remove", "reset")


class _Links(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.hrefs: list[str] = []
        self.scripts: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "a":
            self.hrefs += [value for name, value in attrs if name == "href" and value]
        elif tag == "script":
            self.scripts += [value for name, value in attrs if name == "src" and value]


def paths(urls: Iterable[str], at: str, host: str) -> list[str]:
    """Those of the URLs on a page that are on the same host, as paths, in their order, without fragments."""
    found = []
    for url in urls:
        address = urlsplit(urldefrag(urljoin(f"https://{host}{at}", url.strip())).url)
        path = address.path + (f"?{address.query}" if address.query else "")
        if address.scheme in ("http", "https") and address.hostname == host.partition(":")[0] and path.startswith("/"):
            found.append(path)
    return list(dict.fromkeys(found))


def links(html: str, at: str, host: str) -> list[str]:
    """Paths that a page links to and that change nothing."""
    parser = _Links()
    parser.feed(html)
    return [path for path in paths(parser.hrefs, at, host) if not any(word in path.lower() for word in LEFT_OUT)]


def scripts(html: str, at: str, host: str) -> list[str]:
    """Paths of the scripts that a page loads."""
    parser = _Links()
    parser.feed(html)
    return paths(parser.scripts, at, host)


@dataclass
class Report:
    """Statuses and conflicts of the pages."""

    pages: list[tuple[str, int]] = field(default_factory=list)
    stopped: list[str] = field(default_factory=list)
    needed: dict[str, list[str]] = field(default_factory=dict)
    methods: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """As a dict, for the file beside the release and for the playbook."""
        return {"pages": [list(page) for page in self.pages], "stopped": self.stopped, "needed": self.needed}

    def lines(self) -> list[str]:
        """Lines for the operator; empty without problems."""
        wrong = [f"{path} has status {status}" if status else f"{path} gives no response" for path, status in self.pages
                 if status >= 400 or status == NO_RESPONSE]
        messages = [f"Of {len(self.pages)} pages that were fetched, {', '.join(wrong)}"] if wrong else []
        if self.pages and self.pages[0][1] == 400:
            messages.append("Status 400 of the front page can mean that the application does not accept its own domain; Django reads ALLOWED_HOSTS")
        hidden = dict.fromkeys(match[1] for path, _unused in self.pages if (match := HIDDEN.match(path)))
        messages += [f"nginx serves {path} only with nginx_site: {{paths: {{{path}: {{hidden: true}}}}}}" for path in hidden]
        if refused := [method for method in self.methods if method not in METHODS + NEVER]:
            messages.append(f"nginx serves {', '.join(refused)} only with nginx_site: {{paths: {{/: {{methods: [{', '.join(METHODS + refused)}]}}}}}}")
        if self.stopped:
            more = f" and {len(self.stopped) - LISTED} more" if len(self.stopped) > LISTED else ""
            written = ", ".join(f"{name}: [{', '.join(quoted(source) for source in sources)}]" for name, sources in self.needed.items())
            messages.append(f"The strict Content-Security-Policy would stop: {'; '.join(self.stopped[:LISTED])}{more}. To allow it: "
                            f"nginx_site: {{csp: {{{written}}}}}")
        return messages


def quoted(source: str) -> str:
    """A source, quoted for a YAML list."""
    return f'"{source}"'


class Pages:
    """The pages and templates of one release."""

    def __init__(self, fetch: Fetch, host: str, policy: Mapping[str, list[str]] | None = None) -> None:
        self.fetch = fetch
        self.host = host
        self.policy = page_policy.POLICIES["strict"] if policy is None else policy

    def look(self, source: Path, folders: Iterable[Path] = (), front: str = "/") -> Report:
        """Fetch the pages and read the templates of the source, and those of `folders`."""
        pages: list[tuple[str, int]] = []
        stopped = self.read(source, folders)
        constant = {use.source for _unused, use in stopped if use.source.startswith("'sha")}
        waiting, seen, loaded = [front], set(), []
        for _unused in range(2 * MOST_PAGES):  # links that lead to the same page count as well
            if not waiting or len(pages) > MOST_PAGES:
                break
            path = waiting.pop(0)
            try:
                path, status, headers, body = follow(self.fetch, path, self.host)
            except (OSError, http.client.HTTPException):  # the rest is told all the same
                pages.append((path, NO_RESPONSE))
                break
            if path in seen:
                continue
            seen.add(path)
            pages.append((path, status))
            if "html" in headers.get("content-type", ""):
                waiting += [link for link in links(body, path, self.host) if link not in seen and link not in waiting]
                if "content-security-policy" not in headers:
                    loaded += scripts(body, path, self.host)
                    stopped += [(f"{path} {use.what}", use) for use in page_policy.refused(page_policy.uses(body, constant, self.host), self.policy)]
        return self.report(pages, stopped + self.read_scripts(loaded))

    def read_scripts(self, loaded: Iterable[str]) -> list[tuple[str, page_policy.Use]]:
        """What the policy stops in the scripts of pages, and in those that these import."""
        waiting, seen, stopped = list(dict.fromkeys(loaded)), set[str](), list[tuple[str, page_policy.Use]]()
        while waiting and len(seen) < MOST_SCRIPTS:
            path = waiting.pop(0)
            seen.add(path)
            try:
                path, status, headers, text = follow(self.fetch, path, self.host)
            except (OSError, http.client.HTTPException):
                break
            if status == 200 and "javascript" in headers.get("content-type", ""):
                waiting += [other for other in paths(IMPORTED.findall(text), path, self.host) if other not in seen and other not in waiting]
                stopped += [(f"{path.partition('?')[0]}:{use.line} {use.what}", use)
                            for use in page_policy.refused(page_policy.uses_of_script(text), self.policy)]
        return stopped

    def read(self, source: Path, folders: Iterable[Path] = ()) -> list[tuple[str, page_policy.Use]]:
        """What the policy stops in the templates of the source and of other folders, each with its place."""
        named = [(template, template.relative_to(source)) for template in templates(source)]
        named += [(template, template.relative_to(_packages(folder))) for folder in folders for template in templates(folder)]
        return [(f"{name}:{use.line} {use.what}", use) for template, name in named
                for use in page_policy.refused(page_policy.uses(template.read_text(encoding="utf-8", errors="replace")), self.policy)]

    def report(self, pages: list[tuple[str, int]], stopped: list[tuple[str, page_policy.Use]]) -> Report:
        """All of it."""
        return Report(pages, list(dict.fromkeys(text for text, _unused in stopped)),
                      page_policy.needed([use for _unused, use in stopped], self.policy))


def _packages(folder: Path) -> Path:
    """The directory of packages that a folder lies in; its templates are named from there."""
    return next((parent for parent in folder.parents if parent.name in ("site-packages", "dist-packages")), folder.parents[1])


def templates(source: Path) -> Iterator[Path]:
    """The templates of a source, not those of its packages or tests."""
    count = 0
    for path in sorted(source.rglob("*")):
        below = path.relative_to(source)
        if path.suffix.lower() in TEMPLATES and not FOREIGN & set(below.parts) and not path.is_symlink() \
                and path.is_file() and path.stat().st_size <= LARGEST_TEMPLATE:
            count += 1
            if count > MOST_TEMPLATES:
                return
            yield path
