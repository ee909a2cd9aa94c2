"""Render a role's variables and templates the way Ansible would, without a host."""

from __future__ import annotations

import contextlib
import functools
import os
import re
import subprocess
import sys
import traceback
from pathlib import Path
from typing import Any

import jinja2
import yaml
from ansible.cli.playbook import PlaybookCLI
from ansible.errors import AnsibleError
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template
from ansible_collections.bulwark.flask.tests.unit.checkout import ROLES, ROOT  # noqa: F401 - for the tests that render

FACTS: dict[str, Any] = {
    "distribution": "Debian",
    "distribution_major_version": "13",
    "distribution_version": "13.1",
    "distribution_release": "trixie",
    "os_family": "Debian",
    "hostname": "web1",
    "fqdn": "web1.example.com",
    "processor_vcpus": 2,
    "memtotal_mb": 2048,
    "python_version": "3.13.5",
    "service_mgr": "systemd",
}
SHOP: dict[str, Any] = {
    "name": "shop",
    "domains": ["shop.example.com", "www.shop.example.com"],
    "source": {"git": "https://git.example.com/shop.git", "version": "main"},
    "wsgi": "shop:create_app()",
    "env": {},
    "static": {"/static/": "shop/static"},
}


def _compile_once(compile_: Any) -> Any:
    """Have Jinja compile each template once per process: that is two thirds of the time of a render."""
    codes: dict[Any, Any] = {}

    @functools.wraps(compile_)
    def compiled(self: jinja2.Environment, source: Any, *arguments: Any, **options: Any) -> Any:
        if not isinstance(source, str):
            return compile_(self, source, *arguments, **options)
        key = (type(self), self.trim_blocks, self.lstrip_blocks, self.keep_trailing_newline, self.newline_sequence, self.block_start_string,
               self.variable_start_string, self.comment_start_string, tuple(self.extensions), str(source), arguments, tuple(options.items()))
        if key not in codes:
            codes[key] = compile_(self, source, *arguments, **options)
        return codes[key]

    return compiled


jinja2.Environment.compile = _compile_once(jinja2.Environment.compile)  # type: ignore[method-assign]


def _trusted(value: Any) -> Any:
    """Mark every string of a data structure as a template of our own."""
    if isinstance(value, str):
        return trust_as_template(value)
    if isinstance(value, dict):
        return {key: _trusted(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_trusted(item) for item in value]
    return value


@functools.lru_cache(maxsize=None)
def _file_vars(role: str, release: str) -> dict[str, Any]:
    """The variables of `defaults` and `vars` of a role."""
    found: dict[str, Any] = {}
    for part in ("defaults/main.yml", "vars/main.yml", f"vars/Debian_{release}.yml"):
        path = ROLES / role / part
        if path.exists():
            found |= _trusted(yaml.load(path.read_text(), yaml.CSafeLoader) or {})
    return found


def raw_vars(role: str, flask_app: dict[str, Any] | None = None, **extra: Any) -> dict[str, Any]:
    """The untemplated variables a task of `role` sees: defaults, vars, facts, app and extras."""
    found: dict[str, Any] = {
        "ansible_facts": FACTS,
        "ansible_managed": "Ansible managed",
        "inventory_hostname": "web1",
        "flask_app": SHOP if flask_app is None else flask_app,
        "role_path": str(ROLES / role),
        "role_name": role,
    }
    release = extra.get("ansible_facts", FACTS)["distribution_major_version"]
    return found | _file_vars(role, release) | _trusted(extra)


def _templar(role: str, variables: dict[str, Any]) -> Templar:
    loader = DataLoader()
    loader.set_basedir(str(ROLES / role))
    return Templar(loader=loader, variables=variables)


def role_vars(role: str, flask_app: dict[str, Any] | None = None, only: set[str] | None = None, **extra: Any) -> dict[str, Any]:
    """All variables of `role`, or only some, templated: what its tasks would read."""
    variables = raw_vars(role, flask_app, **extra)
    templar = _templar(role, variables)
    prefixes = (f"{role}_", f"__{role}_")
    return {key: templar.template(value) for key, value in variables.items() if key.startswith(prefixes) and (only is None or key in only)}


def dependents(role: str, name: str) -> set[str]:
    """The variable and all variables of `role` whose value may depend on it: those that name it, or name one that does."""
    words = {key: set(re.findall(r"\w+", str(value))) for key, value in raw_vars(role).items()}
    found, before = {name}, set()
    while found != before:
        before = found
        found = found | {key for key, value in words.items() if not found.isdisjoint(value)}
    return found


def _render(role: str, template: str, variables: dict[str, Any]) -> str:
    source = (ROLES / role / "templates" / template).read_text()
    templar = _templar(role, variables).copy_with_new_env(searchpath=[str(ROLES / role / "templates")])
    return templar.template(trust_as_template(source), overrides={"trim_blocks": True, "keep_trailing_newline": True})


def render(role: str, template: str, flask_app: dict[str, Any] | None = None, **extra: Any) -> str:
    """The text of one template of `role`, with the options file_set renders with."""
    return _render(role, template, raw_vars(role, flask_app, **extra))


def render_all(role: str, templates: list[str], values: dict[str, Any], **extra: Any) -> dict[str, str]:
    """The texts of templates of `role`; `values` is what `role_vars` returns for the same variables, so that none is evaluated again."""
    variables = {**raw_vars(role, **extra), **values}
    return {template: _render(role, template, variables) for template in templates}


def ansible_playbook(directory: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run ansible-playbook in `directory`, in a fork of this process: importing Ansible takes longer than most plays."""
    output, errors = directory / ".stdout", directory / ".stderr"
    child = os.fork()
    if child == 0:
        status = 250
        try:
            _become_ansible_playbook(directory, output, errors, environment)
            status = PlaybookCLI(["ansible-playbook", *arguments]).run()
        except AnsibleError as error:
            print(f"ERROR! {error}", file=sys.stderr)
            status = error.exit_code if hasattr(error, "exit_code") else 1
        except SystemExit as error:
            status = error.code if isinstance(error.code, int) else 1
        except BaseException:  # noqa: BLE001 - nothing of a fork may return to pytest
            traceback.print_exc()
        finally:
            for stream in (sys.stdout, sys.stderr):
                with contextlib.suppress(Exception):
                    stream.flush()
            os._exit(status)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return subprocess.CompletedProcess(list(arguments), status, output.read_text(), errors.read_text())


def _become_ansible_playbook(directory: Path, output: Path, errors: Path, environment: dict[str, str]) -> None:
    """Give this fork the directory, the environment and the standard streams of a command."""
    os.chdir(directory)
    os.environ.update({"ANSIBLE_NOCOLOR": "1", "COLUMNS": "400", **environment})
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for number, path in ((1, output), (2, errors)):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), number)
    sys.stdin, sys.stdout, sys.stderr = (open(number, mode, buffering=1 if number else -1, closefd=False)
                                         for number, mode in ((0, "r"), (1, "w"), (2, "w")))
