#!/usr/bin/python
"""Secrets that are made on the host and never leave it."""

from __future__ import annotations

DOCUMENTATION = r"""
module: generated_secrets
short_description: Make random secrets on the host, once, and rotate them when asked to
version_added: "0.1.0"
description:
  - Names that are missing from the file get a random value. Values that are there are changed by
    O(rotate) alone, never returned and never shown, and names that are no longer asked for stay.
  - A rotated C(SECRET_KEY) or C(FLASK_SECRET_KEY) stays valid for O(fallback_days), in the variable
    Flask reads old keys from. It is written in the same moment as the new one.
  - A rotation that was not completed is not begun again. Whoever repeats it gets the value that
    waits in the file and that the running process does not have yet.
  - A file that is damaged or empty is an error. A new key in its place would sign every visitor out
    and make what was encrypted with the old one unreadable; that is for a person to decide.
  - Names that somebody has added by hand to the other environment file are an error as well, before
    anything is written over.
options:
  path:
    description: The environment file. Its directory is made, readable by root alone, if it is missing.
    type: path
    required: true
  names:
    description:
      - Names that must have a value, as a list, or as a mapping to their kinds. V(url-safe) is a text of
        65 letters, digits, - and _; V(hex) 64 hexadecimal digits; V(fernet) a key for C(cryptography).
      - Those of O(given) get none.
    type: raw
    required: true
  given:
    description: Names the operator gives a value for, in O(env_path).
    type: list
    elements: str
    default: []
  env_path:
    description: The environment file with the operator's values. It is read for names and nothing else.
    type: path
  remove:
    description: Names that somebody has added to O(env_path) and that may be lost.
    type: list
    elements: str
    default: []
  rotate:
    description: Names that get a new value. V(SECRET_KEY) also means C(FLASK_SECRET_KEY).
    type: list
    elements: str
    default: []
  sign_everybody_out:
    description: Forget the old keys at once. For a key that has leaked, and for a Flask without fallbacks.
    type: bool
    default: false
  fallback_days:
    description: How long an old key stays valid.
    type: int
    default: 31
  current:
    description: Link to the live instance, for O(rotate). Its venv says which Flask it is.
    type: path
  unit:
    description: The instances' unit up to the C(@), for O(rotate). Its process says which values it has.
    type: str
attributes:
  check_mode:
    description: Predicts whether a value would be made, rotated or dropped, and refuses what would be refused.
    support: full
  diff_mode:
    description: There is nothing that could be shown.
    support: none
author:
  - The bulwark.flask authors (@bulwark)
"""

EXAMPLES = r"""
- name: Make the key that signs sessions, and one for an encrypted column
  bulwark.flask.generated_secrets:
    path: /etc/flask-secrets/shop.generated.env
    names: {FLASK_SECRET_KEY: url-safe, COLUMN_KEY: fernet}

- name: Replace the first
  bulwark.flask.generated_secrets:
    path: /etc/flask-secrets/shop.generated.env
    names: {FLASK_SECRET_KEY: url-safe, COLUMN_KEY: fernet}
    rotate: [FLASK_SECRET_KEY]
    current: /srv/shop/current
    unit: gunicorn-shop
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
  description: Names whose new value an earlier run has made and the process does not have yet.
  type: list
  elements: str
  returned: success
dropped:
  description: Keys that lost an old value, because its time was over or everybody was to be signed out.
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
from ansible_collections.bulwark.flask.plugins.module_utils.env_names import strangers
from ansible_collections.bulwark.flask.plugins.module_utils.generated_values import (
    ENDING,
    KEYS,
    KINDS,
    NAME,
    Damaged,
    Values,
    kinds_of,
)

SIGN_OUT = "To sign everybody out instead, add -e sign_everybody_out=true."


def flask_version(current: str) -> str | None:
    """The version of Flask in the live release's venv."""
    folders = glob.glob(f"{current}/release/venv/lib/python3*/site-packages/[Ff]lask-*.dist-info")
    return next((os.path.basename(folder)[6:-10] for folder in folders), None)


def why_no_fallbacks(version: str | None) -> str:
    """Why an old key cannot stay valid with this Flask; empty when it can."""
    if version is None:
        return "the live release has no Flask in its venv, so nobody knows what it does with old keys"
    number = tuple(int(part) for part in re.findall(r"\d+", version)[:3])
    if number < (3, 1):
        return f"the live release has Flask {version}, which does not know old keys (3.1.1 does)"
    if number < (3, 1, 1):
        return (f"the live release has Flask {version}, which goes on signing with the old key "
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
                      for name in names if not NAME.fullmatch(str(name))]
        self.wrong += [f"{name} cannot be of the kind {kind}; known are {', '.join(KINDS)}"
                       for name, kind in names.items() if str(kind) not in KINDS]
        self.names = {name: kind for name, kind in names.items() if name not in self.given}
        self.rotate = [self.meant(name) for name in dict.fromkeys(self.options["rotate"])]
        self.now = datetime.now(timezone.utc)

    def meant(self, name: str) -> str:
        """SECRET_KEY is what people say for FLASK_SECRET_KEY."""
        both = {*self.names, *self.given}
        return "FLASK_SECRET_KEY" if name == "SECRET_KEY" and name not in both else name

    def read(self) -> Values:
        """What is there."""
        try:
            data = fs.read_regular(self.path)
            text = "" if data is None else data.decode()
            if data is not None and not text.strip():
                raise Damaged("it is empty")
            return Values(text)
        except (ValueError, Damaged) as error:
            reason = "it is not text" if isinstance(error, UnicodeDecodeError) else str(error)
            self.module.fail_json(msg=f"{self.path} is damaged: {reason}. Bring it back from a backup, or remove it to have "
                                      "new keys made, which signs every visitor out.")
            raise AssertionError("fail_json does not return") from error

    def foreign(self) -> list[str]:
        """Names in the operator's file that would be lost."""
        path = self.options["env_path"]
        try:
            text = (fs.read_regular(path) or b"").decode(errors="replace") if path else ""
        except ValueError:
            return []
        names, lines = strangers(text, self.given | set(self.options["remove"]))
        found = [f"{path} sets {name}, which somebody has added on this host. Write {name} into env, or say that it may go: "
                 f"app_secrets: {{remove: [{name}]}}" for name in names]
        return found + [f"{path} has in line {line} something that sets no variable. Take it out" for line in lines]

    def unfit(self, values: Values) -> list[str]:
        """Values of another kind than is asked for."""
        return [f"{name} has on this host a value of another kind than {kind}. Rotate it to get one: "
                f"playbooks/rotate_secrets.yml -e names={name}" for name, kind in self.names.items()
                if name in values.values and name not in self.rotate and not values.is_of(name, kind)]

    def refused(self) -> list[str]:
        """What cannot be rotated."""
        right = f"can be rotated: {', '.join(self.names) or 'none, as all values are given in env'}"
        found = []
        for name in self.rotate:
            if name in self.given:
                found.append(f"{name} is given in env; give it another value there ({right})")
            elif name not in self.names:
                found.append(f"{name} is not a secret that is made on the host ({right})")
        keys = [name for name in self.rotate if name in self.names and name in KEYS]
        if keys and not self.options["sign_everybody_out"]:
            if not os.path.lexists(self.options["current"]):
                found.append("no release is live yet, so there is nobody whose session a rotation could keep. " + SIGN_OUT)
            elif reason := why_no_fallbacks(flask_version(self.options["current"])):
                found.append(f"{reason}. {SIGN_OUT}")
            found += [f"{name}{ENDING} is given in env and would hide the key that is replaced; take it out. {SIGN_OUT}"
                      for name in keys if name + ENDING in self.given]
        return found

    def running(self) -> dict[str, str]:
        """The environment of the live instance's process; empty when there is none."""
        try:
            instance = os.path.basename(os.readlink(self.options["current"]))
            unit = f"{self.options['unit']}@{instance}.service"
            pid = self.module.run_command(["systemctl", "show", "--property=MainPID", "--value", unit])[1].strip()
            with open(f"/proc/{int(pid)}/environ", "rb") as stream:
                items = stream.read().decode(errors="replace").split("\0")
        except (OSError, ValueError):
            return {}
        return dict(item.split("=", 1) for item in items if "=" in item)

    def waiting(self, values: Values) -> list[str]:
        """Names whose value in the file is newer than what the process has."""
        process = self.running() if self.rotate else {}
        return [name for name in self.rotate if name in values.values and process.get(name, values.values[name]) != values.values[name]]

    def execute(self) -> dict[str, object]:
        """Bring the file to the wanted state; returns what the module answers."""
        values = self.read()
        found = self.foreign() + self.unfit(values) + self.refused()
        if found:
            self.module.fail_json(msg="Nothing was changed:\n" + "\n".join(f"- {text}" for text in found))
        made = [name for name in self.names if name not in values.values]
        waiting = self.waiting(values)
        rotated = [name for name in self.rotate if name not in made and name not in waiting]
        for name in made:
            values.make(name, self.names[name])
        for name in rotated:
            values.rotate(name, self.names[name], not self.options["sign_everybody_out"], self.now)
        dropped = values.expire(self.options["fallback_days"], self.now)
        if self.options["sign_everybody_out"]:
            dropped += [name for name in waiting if values.old.pop(name, None)]
        # A file that is not there at all has no rights to mend.
        unsafe = bool(values.values) and not made and not fs.is_private(self.path)
        changed = bool(made or rotated or dropped or unsafe)
        if changed and not self.module.check_mode:
            fs.write(self.path, values.text().encode())
        return {"changed": changed, "generated": made, "rotated": rotated, "waiting": waiting, "dropped": dropped}


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
            "current": {"type": "path"},
            "unit": {"type": "str"},
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
    with fs.locked(folder):
        module.exit_json(**run.execute())


if __name__ == "__main__":
    main()
