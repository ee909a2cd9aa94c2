#!/usr/bin/env python3
"""Write what is generated from the roles' argument specifications and from the checks of the inspection.

The comments and values of the roles' defaults, the tables of variables in their READMEs, docs/flask_apps.md (every key of an
inventory), docs/flask_apps.schema.json (the same for editors), the table of checks in docs/preflight.md, and the releases
of Debian in the roles' metadata.

    reference.py            write them
    reference.py --check    exit 1 and name the files that are not current
"""

from __future__ import annotations

import ast
import json
import re
import sys
import textwrap
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / ".ansible/collections"))

from ansible_collections.bulwark.flask.plugins.module_utils.distributions import DEBIAN
from ansible_collections.bulwark.flask.plugins.module_utils.preflight.policy import CHECKS

# Ansible's markup for code, values and options; the text can contain one pair of brackets.
MARKED = re.compile(r"[CVO]\(((?:[^()]|\([^()]*\))*)\)")
# A default that is nothing but the key of an entry and a value.
FROM_ENTRY = re.compile(r"\{\{ (flask_app(?:\.\w+)+) \| default\(('[^']*'|\[[^\]]*\]|\{[^}]*\}|-?[\d.]+|true|false)\) \}\}")
BEGIN, END = "<!-- variables: begin -->", "<!-- variables: end -->"
CHECKS_BEGIN, CHECKS_END = "<!-- checks: begin -->", "<!-- checks: end -->"
# The keys of an entry that several roles read: the role whose specification describes each, and an example.
ENTRY = {
    "domains": ("nginx_site", "[shop.example.com]"),
    "source": ("app_release", '{git: "https://git.example.com/shop.git", version: main}'),
    "wsgi": ("gunicorn_app", '"shop:create_app()"'),
    "env": ("app_secrets", "{FLASK_GREETING: hello}"),
    "subdirectory": ("app_release", "backend"),
    "config": ("gunicorn_app", "{SESSION_COOKIE_SAMESITE: Strict}"),
    "static": ("nginx_site", "{/static/: shop/static}"),
    "shared": ("app_release", "[instance]"),
    "files": ("app_secrets", '{isso.cfg: {content: "[general]"}}'),
    "health_path": ("app_release", "/healthz"),
    "body_max_mb": ("nginx_site", "16"),
    "header_max_kb": ("nginx_site", "8"),
    "session_store": ("gunicorn_app", "true"),
}
# Options of one run, given on the command line.
OF_A_RUN = {("app_release", "to"), ("app_release", "force"), ("nginx_site", "maintenance")}
SAMPLES = {"raw": "text", "str": "text", "int": "1", "bool": "true", "float": "1.5", "path": "/srv/file", "list": "[a, b]", "dict": "{key: value}"}


def constant(module: str, name: str) -> Any:
    """The value of a constant in a module of the inputs."""
    tree = ast.parse((ROOT / "plugins/module_utils/inputs" / module).read_text(encoding="utf-8"))
    return next(ast.literal_eval(node.value) for node in tree.body
                if isinstance(node, ast.Assign) and [getattr(target, "id", "") for target in node.targets] == [name])


HOST_WIDE = constant("engine.py", "HOST_WIDE")
# Options that share their name with a key of the entry and are settings of their role.
OTHERWISE = constant("entry.py", "OTHERWISE")


def specs() -> dict[str, dict[str, Any]]:
    """Every role's entry points."""
    return {path.name: yaml.safe_load((path / "meta/argument_specs.yml").read_text(encoding="utf-8"))["argument_specs"]
            for path in sorted((ROOT / "roles").iterdir())}


def plain(option: dict[str, Any]) -> str:
    """The description as one line of text."""
    text = option.get("description", "")
    return " ".join((" ".join(text) if isinstance(text, list) else text).split())


def markdown(option: dict[str, Any]) -> str:
    """The description as one line of Markdown that fits a table."""
    choices = f" One of {', '.join(f'`{choice}`' for choice in option['choices'])}." if option.get("choices") else ""
    return MARKED.sub(lambda match: f"`{match.group(1)}`", plain(option)).replace("|", "\\|") + choices


def kind(option: dict[str, Any]) -> str:
    """The type, with that of a list's items."""
    return option.get("type", "str") + (f" of {option['elements']}" if option.get("elements") else "")


def default(option: dict[str, Any]) -> str:
    """The default, `required`, or `computed` where the role derives it."""
    if "default" in option:
        return f"`{json.dumps(option['default'], ensure_ascii=False)}`"
    return "required" if option.get("required") else "computed"


def example(name: str, option: dict[str, Any]) -> str:
    """An example of the option, with a value other than the default where that is empty."""
    value = option.get("default")
    if option.get("choices"):
        text = str(next((choice for choice in option["choices"] if choice != value), value))
    elif isinstance(value, bool):
        text = json.dumps(not value)
    elif value in (None, "", [], {}):
        text = SAMPLES[option.get("type", "str")]
    else:
        text = json.dumps(value, ensure_ascii=False)
    return f"`{name}: {text}`".replace("|", "\\|")


def is_key(role: str, short: str) -> bool:
    """Whether an option is the application's name or a key of its entry."""
    return (short == "name" or short in ENTRY) and (role, short) not in OTHERWISE


def place(role: str, name: str, per_app: bool) -> str:
    """Where an inventory sets it."""
    short = name[len(role) + 1:]
    if not per_app:
        return "host"
    if short == "name":
        return "entry's name"
    if is_key(role, short):
        return f"entry: `{short}`"
    if (role, short) in OF_A_RUN:
        return "`-e`"
    return f"`{role}: {short}`" + (" or host" if short in HOST_WIDE.get(role, ()) else "")


def rows(role: str, options: dict[str, Any], per_app: bool) -> list[str]:
    """A table of a role's variables."""
    lines = ["| variable | in the inventory | type | default | meaning |", "|---|---|---|---|---|"]
    return lines + [f"| `{name}` | {place(role, name, per_app)} | {kind(option)} | {default(option)} | {markdown(option)} |"
                    for name, option in options.items()]


def role_table(role: str, points: dict[str, Any]) -> str:
    """The variables of the entry point `main`, then the purpose and further variables of each other entry point."""
    main = points["main"]["options"]
    per_app = f"{role}_name" in main
    text = "\n".join(rows(role, main, per_app))
    for name, point in points.items():
        if name == "main":
            continue
        more = {key: option for key, option in point.get("options", {}).items() if key not in main}
        text += f"\n\n### Entry point `{name}`\n\n{point['short_description']}. {markdown(point)}".rstrip()
        text += "\n\n" + ("It takes the variables above, and these:\n\n" + "\n".join(rows(role, more, per_app)) if more
                          else "It takes the variables above.")
    return text


def filled(path: Path, begin: str, end: str, table: str) -> str:
    """A page with its generated part as it should be."""
    head, _, tail = path.read_text(encoding="utf-8").partition(begin)
    _, _, rest = tail.partition(end)
    return f"{head}{begin}\n\n{table}\n\n{end}{rest}"


def readme(role: str, points: dict[str, Any]) -> str:
    """The README with current tables."""
    return filled(ROOT / "roles" / role / "README.md", BEGIN, END, role_table(role, points))


def preflight() -> str:
    """docs/preflight.md."""
    lines = ["| check | passes when | worst result | the line to write |", "|---|---|---|---|"]
    lines += ["| " + " | ".join(cell.replace("|", "\\|") for cell in (f"`{check.id}`", check.title, check.severity, check.fix)) + " |"
              for check in CHECKS]
    return filled(ROOT / "docs/preflight.md", CHECKS_BEGIN, CHECKS_END, "\n".join(lines))


def comment(option: dict[str, Any]) -> str:
    """The description as the comment above a default, with the values and keys that the type allows."""
    text = MARKED.sub(lambda mark: mark.group(1), plain(option))
    if option.get("choices"):
        text += f" One of {', '.join(option['choices'])}."
    if option.get("options"):
        text += f" Keys: {', '.join(option['options'])}."
    return "\n".join(textwrap.wrap(text, 118, initial_indent="# ", subsequent_indent="# ", break_long_words=False, break_on_hyphens=False))


def literal(value: Any) -> str:
    """A value as Jinja writes it."""
    return str(value).lower() if isinstance(value, bool) else repr(value)


def default_line(name: str, role: str, per_app: bool, value: Any) -> str:
    """A variable with its default; for a role of applications, what the entry says comes first."""
    if not per_app:
        return f"{name}: {yaml.safe_dump([value], default_flow_style=True, width=1000).strip()[1:-1]}"
    short = name[len(role) + 1:]
    return f'{name}: "{{{{ flask_app.{short if is_key(role, short) else f"{role}.{short}"} | default({literal(value)}) }}}}"'


def current_block(block: list[str], name: str, role: str, option: dict[str, Any], per_app: bool) -> list[str]:
    """The lines of a variable, with the default of the specification. A computed default stays as it is."""
    value = yaml.safe_load("\n".join(block))[name]
    if "default" not in option:
        return block
    if isinstance(value, str) and (match := FROM_ENTRY.fullmatch(value)):
        return [f'{name}: "{{{{ {match.group(1)} | default({literal(option["default"])}) }}}}"']
    is_computed = isinstance(value, str) and "{{" in value
    return block if is_computed or value == option["default"] else [default_line(name, role, per_app, option["default"])]


def defaults(role: str, points: dict[str, Any]) -> str:
    """A role's defaults/main.yml: comments and defaults of the specification; order, headings and computed values stay.

    A variable that is missing is added after the one before it in the specification.
    """
    options, per_app = points["main"]["options"], f"{role}_name" in points["main"]["options"]
    text = (ROOT / "roles" / role / "defaults/main.yml").read_text(encoding="utf-8")
    blocks: list[tuple[str, list[str]]] = []  # a variable and its lines; other lines have no variable
    for line in text.splitlines():
        if match := re.match(r"(\w+):", line):
            blocks.append((match.group(1), [line]))
        elif line.startswith(" ") and blocks and blocks[-1][0]:
            blocks[-1][1].append(line)
        else:
            blocks.append(("", [line]))
    before = ""
    for name, option in options.items():
        names = [known for known, _lines in blocks]
        if name not in names and before in names and "default" in option and (role, name[len(role) + 1:]) not in OF_A_RUN:
            blocks.insert(names.index(before) + 1, (name, [default_line(name, role, per_app, option["default"])]))
        before = name if name in [known for known, _lines in blocks] else before
    lines: list[str] = []
    for name, block in blocks:
        if name:
            while lines[-1].startswith("#"):
                lines.pop()
            lines += [""] * bool(lines[-1]) + [comment(options[name])]
            block = current_block(block, name, role, options[name], per_app)
        lines += block
    return "\n".join(lines) + "\n"


def entry_option(key: str, every: dict[str, Any]) -> dict[str, Any]:
    """The specification of a key of the entry."""
    role = ENTRY[key][0]
    return every[role]["main"]["options"][f"{role}_{key}"]


def settings(role: str, every: dict[str, Any]) -> dict[str, Any]:
    """The options of a role's section of an entry, by short name."""
    options = every[role]["main"]["options"]
    return {short: option for short, option in ((name[len(role) + 1:], option) for name, option in options.items())
            if not is_key(role, short) and (role, short) not in OF_A_RUN}


OTHERS = ("`flask_other_variables` is a list of names. A variable that begins like a role of this collection and that no role here reads is "
          "an error where it resembles one of its variables, and otherwise a warning; one of this list is not checked.")


def reference(every: dict[str, Any]) -> str:
    """docs/flask_apps.md."""
    per_app = [role for role, points in every.items() if f"{role}_name" in points["main"]["options"]]
    lines = ["# Reference of the inventory", "",
             "<!-- Generated by tools/reference.py from the roles' argument specifications: change those. -->", "",
             "`flask_apps` is a mapping. Each key is the name of an application: 1 to 25 lower-case letters, digits, `-` and `_`, a letter",
             "first. Its value is the application's entry. `flask_app_defaults` has the same keys and applies to every application; what an",
             "entry says comes first, and mappings are merged. Variables of the host stand beside `flask_apps`.", "",
             "Editors that know JSON Schema complete and check these keys: put the line",
             "`# yaml-language-server: $schema=docs/flask_apps.schema.json` at the top of the inventory, as `inventory.example` does.", "",
             "## Keys of an entry", "", "| key | type | default | meaning | example |", "|---|---|---|---|---|"]
    for key, (_, sample) in ENTRY.items():
        option = entry_option(key, every)
        lines.append(f"| `{key}` | {kind(option)} | {default(option)} | {markdown(option)} | `{key}: {sample}` |")
    nested = entry_option("source", every)["options"]
    lines += ["", "### `source`", "", "| key | type | meaning |", "|---|---|---|"]
    lines += [f"| `{key}` | {kind(option)} | {markdown(option)} |" for key, option in nested.items()]
    lines += ["", "## Sections of an entry", "",
              "A section has the name of a role and holds settings of that role for one application."]
    for role in per_app:
        host = HOST_WIDE.get(role, ())
        lines += ["", f"### `{role}`", "", f"{every[role]['main']['short_description']}. See [the role](../roles/{role}/README.md).", "",
                  "| key | type | default | meaning | example |", "|---|---|---|---|---|"]
        for short, option in settings(role, every).items():
            also = f" Also a variable of the host, `{role}_{short}`." if short in host else ""
            lines.append(f"| `{short}` | {kind(option)} | {default(option)} | {markdown(option)}{also} | {example(short, option)} |")
    lines += ["", "## Variables of the host", "", OTHERS]
    for role in every:
        if role in per_app:
            continue
        lines += ["", f"### `{role}`", "", f"{every[role]['main']['short_description']}. See [the role](../roles/{role}/README.md).", "",
                  "| variable | type | default | meaning | example |", "|---|---|---|---|---|"]
        lines += [f"| `{name}` | {kind(option)} | {default(option)} | {markdown(option)} | {example(name, option)} |"
                  for name, option in every[role]["main"]["options"].items()]
    return "\n".join(lines) + "\n"


TEMPLATE = {"type": "string", "pattern": r"\{\{"}
JSON_TYPES = {"str": "string", "path": "string", "int": "integer", "float": "number", "bool": "boolean", "list": "array", "dict": "object"}


def schema_of(option: dict[str, Any]) -> dict[str, Any]:
    """An option as JSON Schema. Options of other types than text also accept a template."""
    name = option.get("type", "str")
    schema: dict[str, Any] = {"type": JSON_TYPES[name]} if name in JSON_TYPES else {}
    if option.get("choices"):
        schema = {"items": {"enum": option["choices"]}, **schema} if name == "list" else {"enum": option["choices"]}
    if name == "list" and "elements" in option and "items" not in schema:
        schema["items"] = schema_of({key: value for key, value in option.items() if key in ("options",)} | {"type": option["elements"]})
    if name == "dict" and "options" in option:
        schema |= {"properties": {key: schema_of(inner) for key, inner in option["options"].items()}, "additionalProperties": False}
    text = {"description": MARKED.sub(lambda mark: mark.group(1), plain(option))} if "description" in option else {}
    if "default" in option:
        text["default"] = option["default"]
    return {**text, **(schema if name in ("str", "path", "raw") and "enum" not in schema else {"anyOf": [schema, TEMPLATE]})}


def schema(every: dict[str, Any]) -> str:
    """docs/flask_apps.schema.json: for an inventory in YAML and for files of variables."""
    per_app = [role for role, points in every.items() if f"{role}_name" in points["main"]["options"]]
    entry = {key: schema_of(entry_option(key, every)) for key in ENTRY}
    for role in per_app:
        entry[role] = {"type": "object", "description": every[role]["main"]["short_description"], "additionalProperties": False,
                       "properties": {short: schema_of(option) for short, option in settings(role, every).items()}}
    variables: dict[str, Any] = {
        "flask_apps": {"type": "object", "description": "One entry for each application, under its name.",
                       "propertyNames": {"pattern": "^[a-z][a-z0-9_-]{0,24}$"}, "additionalProperties": {"$ref": "#/$defs/entry"}},
        "flask_app_defaults": {"$ref": "#/$defs/entry", "description": "What all entries have in common."},
        "flask_other_variables": {"type": "array", "items": {"type": "string"},
                                  "description": "Variables of other roles that begin like a role of this collection. They are not checked."},
    }
    for role, points in every.items():
        variables |= {name: schema_of(option) for name, option in points["main"]["options"].items()
                      if role not in per_app or name[len(role) + 1:] in HOST_WIDE.get(role, ())}
    group = {"type": ["object", "null"], "properties": {
        "vars": {"$ref": "#/$defs/variables"},
        "hosts": {"type": ["object", "null"], "additionalProperties": {"anyOf": [{"$ref": "#/$defs/variables"}, {"type": "null"}]}},
        "children": {"type": ["object", "null"], "additionalProperties": {"$ref": "#/$defs/group"}}}}
    document = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Inventory of bulwark.flask",
        "description": "Generated by tools/reference.py. For an inventory in YAML, or a file of variables.",
        "$ref": "#/$defs/variables",
        "properties": {"all": {"$ref": "#/$defs/group"}},
        "$defs": {"variables": {"type": ["object", "null"], "properties": variables},
                  "entry": {"type": "object", "properties": entry, "additionalProperties": False}, "group": group},
    }
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"


def platforms(role: str) -> str:
    """The role's metadata for Galaxy, with the supported releases of Debian."""
    text = (ROOT / "roles" / role / "meta/main.yml").read_text(encoding="utf-8")
    return re.sub(r"(- name: Debian\n +versions: )\[.*\]", rf"\1[{', '.join(DEBIAN.values())}]", text)


def wanted() -> dict[Path, str]:
    """Every generated file with its current text."""
    every = specs()
    return {**{ROOT / "roles" / role / "README.md": readme(role, points) for role, points in every.items()},
            **{ROOT / "roles" / role / "defaults/main.yml": defaults(role, points) for role, points in every.items()},
            **{ROOT / "roles" / role / "meta/main.yml": platforms(role) for role in every},
            ROOT / "docs/preflight.md": preflight(), ROOT / "docs/flask_apps.md": reference(every), ROOT / "docs/flask_apps.schema.json": schema(every)}


def main(arguments: list[str]) -> int:
    """Entry point."""
    stale = [(path, text) for path, text in wanted().items() if not path.exists() or path.read_text(encoding="utf-8") != text]
    if "--check" in arguments:
        for path, _ in stale:
            print(f"not current, run tools/reference.py: {path.relative_to(ROOT)}")
        return 1 if stale else 0
    for path, text in stale:
        path.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
