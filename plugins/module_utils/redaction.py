"""Remove secrets from the output of a command. No Ansible imports."""

from __future__ import annotations

import re
from collections.abc import Iterable

from ansible_collections.bulwark.flask.plugins.module_utils.preflight.inspector.redact import SECRET_NAME, Redactor

HIDDEN = "[hidden]"
SHORTEST_PART = 8   # a part of a secret at least this long is hidden, also when the output is cut or wrapped
SHORTEST_VALUE = 4  # a whole value at least this long is hidden
_SETTING = re.compile(r"""(?:export\s+)?["']?([A-Za-z_][\w.-]*)["']?\s*[=:]\s*([^=\s].*)""")
# Values that are plainly none: paths, URLs (their passwords are looked for), addresses, numbers, and words with at most two digits.
_PLAIN = re.compile(r"[./~][^\s]*|\w+://\S+|[\w.+-]+@[\w.-]+|[\d.:]+|[\w*-]+(\.[\w*-]+)*\.[A-Za-z]{2,}(:\d+)?|([A-Za-z]*\d{0,2}([-_ .,/:+\[\]{}\"']+|$))*")
_SCANNED = 65536


def _values(text: str) -> set[str]:
    """The secrets of a file, line by line: of a setting the value, unless its name and form are plain; all of any other line."""
    values: set[str] = set()
    for line in map(str.strip, text.splitlines()):
        setting = _SETTING.fullmatch(line)
        if line.startswith(("#", ";")):
            continue
        if setting is None:
            values.add(line)
            continue
        name, value = setting[1], setting[2].rstrip(",").strip("'\"")
        secret = SECRET_NAME.search(name) or not _PLAIN.fullmatch(value)
        values |= {value} if secret else set(Redactor({name: value}).hidden)
    return values


def hide(output: str, secrets: Iterable[str], longest: int = 4000) -> str:
    """Hide every value of `secrets` (contents of files), whole or in part, in `output`.

    :param longest: characters to keep; of a longer output the end is returned
    """
    values = set().union(*(_values(text) for text in secrets))
    parts = {value[i:i + SHORTEST_PART] for value in values for i in range(len(value) - SHORTEST_PART + 1)}
    output = output[-_SCANNED:]
    covered = bytearray(len(output))
    for i in range(len(output) - SHORTEST_PART + 1):
        if output[i:i + SHORTEST_PART] in parts:
            covered[i:i + SHORTEST_PART] = b"\1" * SHORTEST_PART
    short = sorted((v for v in values if SHORTEST_VALUE <= len(v) < SHORTEST_PART), key=len, reverse=True)
    for value in short:
        for match in re.finditer(r"(?<!\w)" + re.escape(value) + r"(?!\w)", output):
            covered[match.start():match.end()] = b"\1" * len(value)
    pieces, hidden = [], False
    for character, secret in zip(output, covered):
        if secret and character != "\n":
            pieces += [] if hidden else [HIDDEN]
            hidden = True
        else:
            pieces.append(character)
            hidden = False
    text = "".join(pieces).strip()
    return text if len(text) <= longest else "… " + text[-longest:]
