#!/usr/bin/python
"""Secrets that are generated on the host and never leave it."""

from __future__ import annotations

DOCUMENTATION = r"""
module: generated_secrets
short_description: Generate random secrets on the host, once, and rotate them on request
version_added: "0.1.0"
description:
  - A name that is missing from the file gets a random value. Only O(rotate) changes a value. No value is returned or shown.
    A name that is no longer requested stays in the file.
  - A rotated C(SECRET_KEY) or C(FLASK_SECRET_KEY) stays valid for O(fallback_days), in the variable from which Flask reads
    old keys. Old and new key are written in one step.
  - The file records which instance was live when a value was rotated. A rotation that was interrupted before a new instance
    became live is continued, not repeated. The record is root's; no running process is asked.
  - O(sign_everybody_out) always generates a new value.
  - A damaged or empty file is an error, because a new key signs out every user and makes data that was encrypted with the
    old one unreadable.
  - Names that were added by hand to the file of the operator's values are an error. Nothing is overwritten.
options:
  path:
    description: The environment file. A missing directory is created, accessible to root only.
    type: path
    required: true
  names:
    description:
      - Names that must have a value, as a list, or as a mapping to kinds. V(url-safe) is a text of 65 letters, digits, - and _,
        V(hex) has 64 hexadecimal digits, V(fernet) is a key for C(cryptography).
      - Names in O(given) get no value.
    type: raw
    required: true
  given:
    description: Names for which the operator gives a value, in O(env_path).
    type: list
    elements: str
    default: []
  env_path:
    description: The environment file with the operator's values. Only its names are read.
    type: path
  remove:
    description: Names that were added to O(env_path) by hand and may be removed.
    type: list
    elements: str
    default: []
  rotate:
    description: Names that get a new value. V(SECRET_KEY) also means C(FLASK_SECRET_KEY).
    type: list
    elements: str
    default: []
  sign_everybody_out:
    description: Drop the old keys immediately. For a key that has leaked, and for a Flask that does not support old keys.
    type: bool
    default: false
  in_effect:
    description: Names whose value the live instance must have. The module fails when one was rotated after it had started.
    type: list
    elements: str
    default: []
  fallback_days:
    description: Days for which an old key stays valid.
    type: int
    default: 31
  current:
    description: Link to the live instance, for O(rotate) and O(in_effect). Its virtual environment has the version of Flask.
    type: path
attributes:
  check_mode:
    description: Predicts which values are generated, rotated and dropped, and fails where a run fails.
    support: full
  diff_mode:
    description: Not supported, because every line is a secret.
    support: none
author:
  - The bulwark.flask authors (@bulwark)
"""

EXAMPLES = r"""
- name: Generate the key that signs sessions, and one for an encrypted column
  bulwark.flask.generated_secrets:
    path: /etc/flask-secrets/shop.generated.env
    names: {FLASK_SECRET_KEY: url-safe, COLUMN_KEY: fernet}

- name: Rotate the first
  bulwark.flask.generated_secrets:
    path: /etc/flask-secrets/shop.generated.env
    names: {FLASK_SECRET_KEY: url-safe, COLUMN_KEY: fernet}
    rotate: [FLASK_SECRET_KEY]
    current: /srv/shop/current
"""

RETURN = r"""
generated:
  description: Names that got their first value in this run.
  type: list
  elements: str
  returned: success
rotated:
  description: Names that got a new value in this run.
  type: list
  elements: str
  returned: success
waiting:
  description: Names that were rotated by an earlier run and wait for a new instance.
  type: list
  elements: str
  returned: success
dropped:
  description: Keys of which old values were dropped because they had expired.
  type: list
  elements: str
  returned: success
"""

import glob
import os
import re
from datetime import datetime, timezone

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.bulwark.flask.plugins.module_utils import fs
from ansible_collections.bulwark.flask.plugins.module_utils.names import ENV_NAME
from ansible_collections.bulwark.flask.plugins.module_utils.release.activate.instances import STAMP, file_state
from ansible_collections.bulwark.flask.plugins.module_utils.secrets.environment import unmanaged
from ansible_collections.bulwark.flask.plugins.module_utils.secrets.generated import ENDING, FLASK_KEY, KEYS, KINDS, PLAIN_KEY, Damaged, Values, kinds_of

SIGN_OUT = "To end all sessions instead, add -e sign_everybody_out=true."


def flask_version(current: str) -> str | None:
    """The version of Flask in the virtual environment of the live release."""
    folders = glob.glob(f"{current}/release/venv/lib/python3*/site-packages/[Ff]lask-*.dist-info")
    return next((os.path.basename(folder)[6:-10] for folder in folders), None)


def why_no_fallbacks(version: str | None) -> str:
    """The reason why this Flask cannot keep an old key valid; empty when it can."""
    if version is None:
        return "the live release has no Flask in its virtual environment, so its handling of old keys is unknown"
    number = tuple(int(part) for part in re.findall(r"\d+", version)[:3])
    if number < (3, 1):
        return f"the live release has Flask {version}, which does not support old keys (3.1.1 does)"
    if number < (3, 1, 1):
        return (f"the live release has Flask {version}, which continues to sign with the old key "
                "(GHSA-4grg-w6v8-c28g); deploy 3.1.1 or later first")
    return ""


class Run:
    """One run of the module."""

    def __init__(self, module: AnsibleModule) -> None:
        self.module, self.options = module, module.params
        self.path = self.options["path"]
        self.given = set(self.options["given"])
        names = kinds_of(self.options["names"])
        self.wrong = [f"{name} is not a name for an environment variable: letters, digits and _, no digit first"
                      for name in names if not ENV_NAME.fullmatch(str(name))]
        self.wrong += [f"{name} cannot be of the kind {kind}; the kinds are {', '.join(KINDS)}"
                       for name, kind in names.items() if str(kind) not in KINDS]
        self.names = {name: kind for name, kind in names.items() if name not in self.given}
        self.rotate = [self.meant(name) for name in dict.fromkeys(self.options["rotate"])]
        self.now = datetime.now(timezone.utc)

    def meant(self, name: str) -> str:
        """FLASK_SECRET_KEY for SECRET_KEY, unless a secret has the name SECRET_KEY."""
        both = {*self.names, *self.given}
        return "FLASK_SECRET_KEY" if name == "SECRET_KEY" and name not in both else name

    def read(self) -> Values:
        """The contents of the file."""
        try:
            data = fs.read_regular(self.path)
            text = "" if data is None else data.decode()
            if data is not None and not text.strip():
                raise Damaged("it is empty")
            return Values(text)
        except (ValueError, Damaged) as error:
            reason = "it is not text" if isinstance(error, UnicodeDecodeError) else str(error)
            self.module.fail_json(msg=f"{self.path} is damaged: {reason}. Restore it from a backup. To generate new keys instead, "
                                      "which signs out every user, remove it.")
            raise AssertionError("fail_json does not return") from error

    def added_by_hand(self) -> list[str]:
        """Names in the operator's file that would be lost."""
        path = self.options["env_path"]
        try:
            text = (fs.read_regular(path) or b"").decode(errors="replace") if path else ""
        except ValueError:
            return []
        names, lines = unmanaged(text, self.given | set(self.options["remove"]))
        problems = [f"{path} sets {name}, which was added on this host by hand. Write {name} into env, or allow its removal: "
                    f"app_secrets: {{remove: [{name}]}}" for name in names]
        return problems + [f"{path}: line {line} sets no variable. Remove it" for line in lines]

    def of_another_kind(self, values: Values) -> list[str]:
        """Values of another kind than the requested one."""
        return [f"{name} has a value of another kind than {kind} on this host. Rotate it: "
                f"playbooks/rotate_secrets.yml -e names={name}" for name, kind in self.names.items()
                if name in values.values and name not in self.rotate and not values.is_of(name, kind)]

    def refused(self) -> list[str]:
        """Reasons why names cannot be rotated."""
        right = f"can be rotated: {', '.join(self.names) or 'none, as env gives all values'}"
        problems = []
        for name in self.rotate:
            if name in self.given:
                problems.append(f"{name} is given in env; change it there ({right})")
            elif name not in self.names:
                problems.append(f"{name} is not a secret that is generated on the host ({right})")
        keys = [name for name in self.rotate if name in self.names and name in KEYS]
        if keys and not self.options["sign_everybody_out"]:
            if self.live() is None:
                problems.append("no release is live yet, so there is no session that a rotation could keep valid. " + SIGN_OUT)
            elif reason := why_no_fallbacks(flask_version(self.options["current"])):
                problems.append(f"{reason}. {SIGN_OUT}")
            problems += [f"{name}{ENDING} is given in env and would hide the replaced key; remove it there. {SIGN_OUT}"
                         for name in keys if name + ENDING in self.given]
        return problems

    def live(self) -> str | None:
        """The name of the live instance."""
        try:
            return os.path.basename(os.readlink(self.options["current"] or ""))
        except OSError:
            return None

    def awaits_instance(self, name: str, values: Values) -> bool:
        """Whether a value was rotated after the live instance had started.

        The stamp, which root writes before an instance starts, tells two instances of the same name apart.
        """
        live = self.live()
        stamp = fs.read_json(os.path.join(self.options["current"], STAMP)) if live else None
        has_file = (stamp or {}).get(self.path, {}) == file_state([self.path])[self.path]
        return live is not None and values.rotated.get(name) == live and not has_file

    def not_in_effect(self, values: Values) -> list[str]:
        """Values that were rotated after the live instance had started."""
        return [f"{name} was rotated, but the live instance {self.live()} started before and does not have the new value. No other "
                "instance became live: see the output of the release above, and whether app_release.restart_on_change names the "
                f"file {self.path}" for name in map(self.meant, self.options["in_effect"])
                if self.awaits_instance(name, values)]

    def execute(self) -> dict[str, object]:
        """Bring the file to the requested state. Returns the module's result."""
        values = self.read()
        problems = self.added_by_hand() + self.of_another_kind(values) + self.refused() + self.not_in_effect(values)
        if problems:
            self.module.fail_json(msg="Nothing was changed:\n" + "\n".join(f"- {text}" for text in problems))
        generated = [name for name in self.names if name not in values.values]
        live, sign_out = self.live(), self.options["sign_everybody_out"]
        waiting = [name for name in self.rotate if not sign_out and self.awaits_instance(name, values)]
        rotated = [name for name in self.rotate if name not in generated and name not in waiting]
        for name in generated:
            values.generate(name, self.names[name])
        for name in rotated:
            values.rotate(name, self.names[name], not sign_out, self.now, live)
        dropped = values.expire(self.options["fallback_days"], self.now)
        # A missing file has no permissions to correct.
        plain = FLASK_KEY in self.names and PLAIN_KEY not in {*self.names, *self.given}
        renamed, values.plain = values.plain != plain and bool(values.values), plain
        unsafe = bool(values.values) and not generated and not fs.is_private(self.path)
        changed = bool(generated or rotated or dropped or unsafe or renamed)
        if changed and not self.module.check_mode:
            fs.write(self.path, values.text().encode())
        return {"changed": changed, "generated": generated, "rotated": rotated, "waiting": waiting, "dropped": dropped}


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "path": {"type": "path", "required": True},
            "names": {"type": "raw", "required": True},
            "given": {"type": "list", "elements": "str", "default": []},
            "env_path": {"type": "path"},
            "remove": {"type": "list", "elements": "str", "default": []},
            "rotate": {"type": "list", "elements": "str", "default": []},
            "sign_everybody_out": {"type": "bool", "default": False},
            "fallback_days": {"type": "int", "default": 31},
            "in_effect": {"type": "list", "elements": "str", "default": []},
            "current": {"type": "path"},
        },
        supports_check_mode=True,
    )
    run, folder = Run(module), os.path.dirname(module.params["path"])
    if run.wrong:
        module.fail_json(msg="; ".join(run.wrong))
    if not module.check_mode:
        fs.make_private_directory(folder)
    if not os.path.isdir(folder):
        module.exit_json(**run.execute())
    try:
        with fs.locked(folder):
            module.exit_json(**run.execute())
    except fs.Locked as error:
        module.fail_json(msg=f"Nothing was changed: {error}")


if __name__ == "__main__":
    main()
