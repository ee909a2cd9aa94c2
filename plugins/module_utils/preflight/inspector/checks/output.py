"""Escaping in templates."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from ansible_collections.bulwark.flask.plugins.module_utils.preflight.inspector.model import Seen, check
from ansible_collections.bulwark.flask.plugins.module_utils.preflight.inspector.source import Place, listed
from ansible_collections.bulwark.flask.plugins.module_utils.preflight.inspector.templates import Template

JINJA_SUFFIXES = {".j2", ".jinja", ".jinja2", ".tpl", ".tmpl"}
PAGES = {"", ".html", ".htm", ".xhtml", ".xml", ".svg"}


@check("every template that may be a page is escaped", "error", "what clients write would become part of the page, scripts too",
       "app.jinja_env.autoescape = select_autoescape(default=True, default_for_string=True)")
def autoescape(subject: Any) -> Seen:
    from jinja2 import nodes

    escape = subject.app.jinja_env.autoescape
    escapes = escape if callable(escape) else lambda _unused: escape
    own = subject.templates
    broken = [Place(t.file, t.broken_line) for t in own if t.tree is None]
    if broken:
        yield "unknown", f"cannot be parsed: {listed(broken)}", "correct the template"
    off = {t.file: kind for t in own if not escapes(t.name) for kind in [_exposure(t)] if kind}
    for kind in ("error", "warning"):
        files = [file for file, reason in off.items() if reason == kind]
        if files:
            yield kind, f"not escaped: {listed(files)}"
    if subject.source.template_strings and not escapes(None):
        yield "error", f"templates from strings are not escaped: {listed(subject.source.template_strings)}"
    blocks = [Place(t.file, node.lineno) for t in own if t.tree for node in t.tree.find_all(nodes.ScopedEvalContextModifier)
              for option in node.options if option.key == "autoescape" and getattr(option.value, "value", None) is not True]
    if blocks:
        yield "error", f"autoescape is switched off in {listed(blocks)}", "remove {% autoescape false %}"
    if not (broken or off or blocks):
        yield "pass", f"{len(own)} templates are escaped"


@check("no |safe in templates and no Markup() of variables", "warning", "what passes through them is not escaped",
       "escape() the value, or clean it with nh3 before it is stored")
def unescaped_output(subject: Any) -> Seen:
    from jinja2 import nodes

    own = subject.templates
    safe = [Place(t.file, node.lineno) for t in own if t.tree for node in t.tree.find_all(nodes.Filter)
            if node.name == "safe" and getattr(node.node, "name", "") != "tojson"]
    if safe:
        yield "warning", f"|safe in {listed(safe)}"
    if subject.source.markup:
        yield "warning", f"Markup() of a variable in {listed(subject.source.markup)}"
    unseen = [t.file for t in own if t.tree is None] + subject.source.unreadable
    if unseen:
        yield "unknown", f"cannot be parsed: {listed(unseen)}", "correct the file, or remove it"


def _exposure(template: Template) -> str:
    """The result for a template without escaping: error for a page, warning for text with tags, otherwise none."""
    from jinja2 import nodes

    if template.tree is None or all(isinstance(part, nodes.TemplateData) for out in template.tree.find_all(nodes.Output) for part in out.nodes):
        return ""  # it puts nothing in
    suffixes = [s.lower() for s in Path(template.name).suffixes]
    while suffixes and suffixes[-1] in JINJA_SUFFIXES:
        suffixes.pop()
    if (suffixes[-1] if suffixes else "") in PAGES:
        return "error"
    return "warning" if re.search(r"<(html|body|div|p|a|script|table|span)\b", template.text, re.I) else ""
