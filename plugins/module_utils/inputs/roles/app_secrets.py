"""Rules of `app_secrets`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ansible_collections.bulwark.flask.plugins.module_utils.inputs.primitives import Rule, each
from ansible_collections.bulwark.flask.plugins.module_utils.names import ENV_NAME
from ansible_collections.bulwark.flask.plugins.module_utils.secrets.generated import KINDS

CREDENTIAL = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]{0,99}")
CREDENTIAL_MAX_BYTES = 1 << 20


def generated(where: str, value: Any) -> list[str]:
    """Names of values that are generated on the host, with or without their kinds."""
    if not isinstance(value, (list, Mapping)):
        return [f"{where} must be a list of names, such as [FLASK_SECRET_KEY], or a mapping to kinds, such as {{API_TOKEN: hex}}"]
    problems = [f"{where}: every name has letters, digits and _, and no digit first" for name in value
                if not ENV_NAME.fullmatch(str(name))]
    kinds = value.items() if isinstance(value, Mapping) else ()
    problems += [f"{where}.{name} must be one of {', '.join(KINDS)}" for name, kind in kinds if str(kind) not in KINDS]
    return list(dict.fromkeys(problems))


def credentials(where: str, value: Any) -> list[str]:
    """Secrets that are passed as files."""
    problems = []
    for name, held in value.items():
        if not CREDENTIAL.fullmatch(str(name)):
            problems.append(f"{where}: a credential's name is that of a file: up to 100 letters, digits, ., - and _, no dot first")
        elif held is None or isinstance(held, (bool, int, float, list, Mapping)):
            problems.append(f"{where}.{name} must be a text; put it in quotes")
        elif len(str(held).encode(errors="replace")) > CREDENTIAL_MAX_BYTES:
            problems.append(f"{where}.{name} is longer than the 1 MiB that systemd passes on")
    return list(dict.fromkeys(problems))


RULES: dict[str, Rule] = {
    "credentials": credentials,
    "generated": generated,
    "remove": each(ENV_NAME, "must be names of environment variables: letters, digits and _"),
}
