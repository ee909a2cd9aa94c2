"""Secrets that a host generates: what a run would do, and does."""

from __future__ import annotations

import glob
import os
import re
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from ansible_collections.bulwark.flask.plugins.module_utils import fs
from ansible_collections.bulwark.flask.plugins.module_utils.names import ENV_NAME
from ansible_collections.bulwark.flask.plugins.module_utils.release import history
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
    """One run of the module generated_secrets."""

    def __init__(self, module: Any) -> None:
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
        stamp = history.read(Path(self.options["current"], STAMP)) if live else {}
        has_file = stamp.get(self.path, {}) == file_state([self.path])[self.path]
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


def is_as_left(module: Any) -> bool:
    """Whether a run with the same arguments would change nothing. What it would report, the module gets."""
    run = Run(module)
    return not run.wrong and not run.execute()["changed"]
