"""Compare the resources and scripts of a page with a Content-Security-Policy. Pure Python, no Ansible imports.

Reads served pages and Jinja templates. Resources that scripts load later are not seen.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Collection, Iterable, Mapping
from html.parser import HTMLParser
from typing import NamedTuple
from urllib.parse import urlsplit

UNSAFE_INLINE = "'unsafe-inline'"
SELF = "'self'"
POLICIES: dict[str, dict[str, list[str]]] = {
    # By type of resource: a type without a directive, such as plug-ins, is not loaded at all.
    "strict": {
        "default-src": ["'none'"],
        "script-src": ["'self'"],
        "style-src": ["'self'"],
        "img-src": ["'self'", "data:"],
        "font-src": ["'self'"],
        "media-src": ["'self'"],
        "connect-src": ["'self'"],
        "manifest-src": ["'self'"],
        "worker-src": ["'self'"],
        "frame-src": ["'self'"],
        "base-uri": ["'none'"],
        "form-action": ["'self'"],
        "frame-ancestors": ["'none'"],
    },
    # For pages with inline scripts and styles, or with some of other sites. Plug-ins, frames of other sites around this one
    # and a base URL of another site stay forbidden.
    "compatible": {
        "default-src": ["'self'", "https:", "data:", "blob:"],
        "script-src": ["'self'", "https:", "blob:", UNSAFE_INLINE, "'unsafe-eval'"],
        "style-src": ["'self'", "https:", UNSAFE_INLINE],
        "connect-src": ["'self'", "https:", "wss:"],
        "object-src": ["'none'"],
        "base-uri": ["'self'"],
        "form-action": ["'self'", "https:"],
        "frame-ancestors": ["'self'"],
        # Pages name http:// and ws:// addresses of their own site, which browsers block on a page of https://.
        "upgrade-insecure-requests": [],
    },
    "off": {},
}
JINJA = re.compile(r"\{\{.*?\}\}|\{%.*?%\}|\{#.*?#\}", re.DOTALL)
EXPRESSION = re.compile(r"\{\{.*?\}\}", re.DOTALL)
# Blocks of data that a browser does not run.
DATA_BLOCKS = re.compile(r"(?!(text|application)/(x-)?(java|ecma)script|module|importmap|speculationrules|$)", re.IGNORECASE)
ATTRIBUTES = {("script", "src"): "script-src", ("img", "src"): "img-src", ("iframe", "src"): "frame-src", ("video", "src"): "media-src",
              ("audio", "src"): "media-src", ("source", "src"): "media-src", ("embed", "src"): "object-src", ("object", "data"): "object-src",
              ("form", "action"): "form-action", ("base", "href"): "base-uri"}
LINKS = {"stylesheet": "style-src", "icon": "img-src", "manifest": "manifest-src", "preload": "", "modulepreload": "script-src"}
STYLE_BY_SCRIPT = re.compile(r"""createElement\(\s*["'`]style["'`]|insertAdjacentHTML\([^)]{0,80}<style""")
WITHOUT_DEFAULT = {"base-uri", "form-action"}  # default-src says nothing about them
# A style sheet of these loads its fonts from there.
FONTS_OF = {"https://fonts.googleapis.com": "https://fonts.gstatic.com"}


class Use(NamedTuple):
    """One thing on a page that a policy decides about."""

    line: int
    what: str
    directive: str
    source: str  # the source that the directive must allow: an origin, a scheme, a hash or 'unsafe-inline'


class _Page(HTMLParser):
    def __init__(self, constant: Collection[str] | None, host: str) -> None:
        super().__init__(convert_charrefs=True)
        self.constant = constant
        self.own = f"https://{host}"
        self.uses: list[Use] = []
        self.inline: tuple[str, int] | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        line = self.getpos()[0]
        if tag == "script" and "src" not in given and not DATA_BLOCKS.match(given.get("type", "")) and "nonce" not in given:
            self.inline = ("script", line)
        elif tag == "style" and "nonce" not in given:
            self.inline = ("style", line)
        for name, value in given.items():
            if re.fullmatch(r"on[a-z]+", name):
                self.uses.append(Use(line, f"event handler {name}", "script-src", UNSAFE_INLINE))
            elif name == "style" and value:
                self.uses.append(Use(line, "style attribute", "style-src", UNSAFE_INLINE))
            elif value.strip().lower().startswith("javascript:"):
                self.uses.append(Use(line, "javascript: link", "script-src", UNSAFE_INLINE))
            else:
                directive = ATTRIBUTES.get((tag, name), "")
                if tag == "link" and name == "href":
                    directive = next((LINKS[word] for word in given.get("rel", "").lower().split() if word in LINKS), "")
                if directive:
                    self.loads(line, directive, value)

    def loads(self, line: int, directive: str, url: str) -> None:
        """A resource of another origin."""
        address = urlsplit(url.strip())
        if address.scheme in ("data", "blob"):
            self.uses.append(Use(line, f"{address.scheme}: address", directive, f"{address.scheme}:"))
        elif f"{address.scheme or 'https'}://{address.netloc}" == self.own or directive == "base-uri" and not address.netloc:
            self.uses.append(Use(line, "base address" if directive == "base-uri" else "address of its own", directive, SELF))
        elif address.netloc and re.fullmatch(r"[\w.:-]+", address.netloc):
            origin = f"{address.scheme or 'https'}://{address.netloc}"
            self.uses.append(Use(line, f"{origin}", directive, origin))
            if origin in FONTS_OF:
                self.uses.append(Use(line, f"fonts of {origin}", "font-src", FONTS_OF[origin]))

    def handle_data(self, data: str) -> None:
        if self.inline and data.strip():
            kind, line = self.inline
            source = UNSAFE_INLINE
            if kind == "script" and "\0" not in data:
                digest = f"'sha256-{base64.b64encode(hashlib.sha256(data.encode()).digest()).decode()}'"
                source = digest if self.constant is None or digest in self.constant else UNSAFE_INLINE
            self.uses.append(Use(line, f"inline {kind}", f"{kind}-src", source))
        self.inline = None

    def handle_endtag(self, tag: str) -> None:
        self.inline = None


def uses(html: str, constant: Collection[str] | None = None, host: str = "") -> list[Use]:
    """The resources and scripts of a page of a host, or of a Jinja template.

    `constant` is None for a template, whose scripts without an expression never change. For a page it has the hashes of
    such scripts: whether another one changes with each request cannot be seen.
    """
    page = _Page(constant, host)
    if constant is None:
        # Lines stay where they are; NUL marks an expression, whose value is not known.
        html = JINJA.sub(lambda match: ("\0" if EXPRESSION.fullmatch(match.group()) else "") + "\n" * match.group().count("\n"), html)
    page.feed(html)
    page.close()
    return [use for use in page.uses if "\0" not in use.source]


def uses_of_script(text: str) -> list[Use]:
    """The first style that a script adds to its page. What it sets on an element's `style` needs no permission."""
    made = STYLE_BY_SCRIPT.search(text)
    return [Use(text.count("\n", 0, made.start()) + 1, "style that a script adds", "style-src", UNSAFE_INLINE)] if made else []


def refused(used: Iterable[Use], policy: Mapping[str, Iterable[str]]) -> list[Use]:
    """The uses that the policy blocks."""
    def allowed(use: Use) -> bool:
        if use.directive not in policy and use.directive in WITHOUT_DEFAULT:
            return True
        sources = policy.get(use.directive, policy.get("default-src", ["*"]))
        words = sources.split() if isinstance(sources, str) else list(sources)
        scheme = urlsplit(use.source).scheme
        if use.source.startswith("'sha256-") and UNSAFE_INLINE in words and not any(word.startswith("'sha") for word in words):
            return True
        return use.source in words or not use.source.startswith("'") and ("*" in words or f"{scheme}:" in words)

    return [use for use in used if not allowed(use)]


def needed(stopped: Iterable[Use], policy: Mapping[str, Iterable[str]]) -> dict[str, list[str]]:
    """The directives that allow all of `stopped`: each with its present sources and the missing ones."""
    lacking: dict[str, list[str]] = {}
    for use in stopped:
        lacking.setdefault(use.directive, []).append(use.source)
    result = {}
    for directive in sorted(lacking):
        sources = policy.get(directive, [])
        words = [word for word in (sources.split() if isinstance(sources, str) else sources) if word != "'none'"] or ["'self'"]
        more = list(dict.fromkeys(lacking[directive]))
        if UNSAFE_INLINE in more:
            # A hash beside it would turn it off.
            more = [word for word in more if not word.startswith("'sha")]
            words = [word for word in words if not word.startswith("'sha")]
        result[directive] = list(dict.fromkeys([*words, *more]))
    return result
