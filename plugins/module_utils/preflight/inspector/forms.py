"""HTML forms in templates, and whether they carry a CSRF token."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Iterable

from ansible_collections.bulwark.flask.plugins.module_utils.preflight.inspector.source import Place
from ansible_collections.bulwark.flask.plugins.module_utils.preflight.inspector.templates import Template

COMMENT = re.compile(r"\{#.*?#\}|<!--.*?-->", re.DOTALL)
FORM = re.compile(r"<form\b(?P<attributes>(?:\{\{.*?\}\}|\{%.*?%\}|[^>{]|\{(?![{%]))*)>(?P<body>.*?)(?:</form\s*>|\Z)", re.DOTALL | re.IGNORECASE)
POST = re.compile(r"\bmethod\s*=\s*[\"']?\s*post\b", re.IGNORECASE)
TOKEN = re.compile(r"csrf|hidden_tag|_token\b", re.IGNORECASE)
ELSEWHERE = re.compile(r"\baction\s*=\s*[\"']?\s*(?:https?:)?//", re.IGNORECASE)
ENDPOINT = re.compile(r"\baction\s*=[^>]*?url_for\(\s*[\"']([\w.]+)[\"']", re.IGNORECASE)
# Constructs that can contain a token: other templates, macros, blocks, loops over the fields of a form.
MAY_RENDER_A_TOKEN = re.compile(r"\{%-?\s*(?:include|import|from|call|block|extends|for\s+\w+\s+in\s+(?:\w+\.)*\w*form\w*)\b"
                                r"|\{\{-?\s*(?!(?:url_for|_|gettext|ngettext|request|range|loop|config)\b)[\w.]+\s*\("
                                r"|\|\s*safe\b|\{\{-?\s*\w*form\w*\s*-?\}\}", re.IGNORECASE)
TAG_EXPRESSION = re.compile(r"<[a-z][^<>]*>", re.IGNORECASE)
SETS_HEADER = re.compile(r"X-CSRF-?Token", re.IGNORECASE)  # not X-XSRF-TOKEN, which libraries have by default and Flask-WTF does not read
MOST_SCRIPTS, LARGEST_SCRIPT = 1000, 2**20
SENT_BY_SCRIPT = re.compile(r"X-CSRF-?Token|X-XSRF-?Token|csrf-token", re.IGNORECASE)


def without_token(templates: Iterable[Template], exempt: Iterable[str]) -> list[Place]:
    """Forms that POST to this application without a token.

    :param exempt: endpoints that need none
    """
    templates, exempt = list(templates), set(exempt)
    if any(SENT_BY_SCRIPT.search(template.text) for template in templates):
        return []  # a script may send the token with every form
    return [Place(template.file, line) for template in templates for line in _lines(template.text, exempt)]


def script_that_sends_a_token(folders: Iterable[str | None]) -> str:
    """The name of a script in folders of static files that sends the token by itself; empty where there is none."""
    for folder in filter(None, folders):
        for path in sorted(Path(folder).rglob("*.js"))[:MOST_SCRIPTS]:
            if path.is_file() and path.stat().st_size < LARGEST_SCRIPT and SETS_HEADER.search(path.read_text(encoding="utf-8", errors="replace")):
                return path.name
    return ""


def _lines(text: str, exempt: set[str]) -> Iterable[int]:
    text = COMMENT.sub(lambda match: "\n" * match.group().count("\n"), text)
    for form in FORM.finditer(text):
        attributes, body = form["attributes"], form["body"]
        endpoint = ENDPOINT.search(attributes)
        if not POST.search(attributes) or ELSEWHERE.search(attributes) or endpoint and endpoint[1] in exempt:
            continue
        if TOKEN.search(attributes + body) or MAY_RENDER_A_TOKEN.search(TAG_EXPRESSION.sub("", body)):
            continue
        yield text.count("\n", 0, form.start()) + 1
