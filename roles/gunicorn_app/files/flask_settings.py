"""Lay the deployment's settings over the configuration of the Flask applications in this process.

gunicorn and the inspection both load this file, so that what was inspected is what is served.

The JSON file beside it has two parts:

- `defaults`: for what the application does not set. They are in its configuration from the moment it is made, so
  that extensions read them and whatever the application sets itself replaces them.
- `config`: the operator's. They replace what the application has set, once it is loaded.

A value `{"env": "NAME"}` is the text of an environment variable; `{"env_json": "NAME"}` is its JSON.
"""

from __future__ import annotations

import functools
import json
import os
from pathlib import Path
from typing import Any

MISSING = object()


def resolve(value: Any) -> Any:
    """A value with its environment variable read; MISSING where that is not set or empty."""
    if isinstance(value, dict) and len(value) == 1:
        (kind, name), = value.items()
        if kind in ("env", "env_json"):
            text = os.environ.get(name) or MISSING
            return json.loads(text) if kind == "env_json" and text is not MISSING else text
    return value


class Settings:
    """The settings of one application's JSON file."""

    def __init__(self, path: str) -> None:
        given = json.loads(Path(path).read_text(encoding="utf-8"))
        self.defaults = {key: value for key, value in ((key, resolve(raw)) for key, raw in given["defaults"].items()) if value is not MISSING}
        self.config = {key: resolve(raw) for key, raw in given["config"].items()}
        if missing := [f"config.{key} reads {', '.join(given['config'][key].values())} from the environment, where it is not set; add it to env"
                       for key, value in self.config.items() if value is MISSING]:
            raise SystemExit("\n".join(missing))
        self.made: list[Any] = []

    def install(self) -> None:
        """Call before the application is imported. Does nothing where Flask is not installed."""
        try:
            from flask import Flask
        except ImportError:
            return
        owner = next(kind for kind in Flask.__mro__ if "make_config" in vars(kind))
        original = owner.make_config

        @functools.wraps(original)
        def make_config(app: Any, *arguments: Any, **options: Any) -> Any:
            made = original(app, *arguments, **options)
            made.update({key: value for key, value in self.defaults.items() if made.get(key) == Flask.default_config.get(key)})
            made.update(self.config)
            self.made.append(made)
            return made

        owner.make_config = make_config  # type: ignore[method-assign]

    def finish(self) -> None:
        """Call when the application is loaded."""
        for made in self.made:
            made.update(self.config)

    def source_of(self, key: str, value: Any) -> str:
        """Who has set a value: `config` or `defaults` of the deployment, or `""` for the application."""
        for part in ("config", "defaults"):
            if getattr(self, part).get(key, MISSING) == value:
                return part
        return ""
