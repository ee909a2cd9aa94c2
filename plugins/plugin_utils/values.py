"""Values of variables with all their templates rendered."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible.errors import AnsibleUndefinedVariable, AnsibleValueOmittedError
from ansible.parsing.vault import AnsibleVaultError

MISSING: Any = object()
# How a value begins that is a certificate or a key, and no file.
PEM = "-----BEGIN "


def _reason(error: BaseException) -> str:
    """The reason why a value cannot be rendered, without any part of the value."""
    if isinstance(error, AnsibleUndefinedVariable):
        return f"{str(error).splitlines()[0]}; define it, or leave this out"
    cause: BaseException | None = error
    while cause:
        # The error of a value that was decrypted lazily has no public class.
        if isinstance(cause, AnsibleVaultError) or "undecryptable variable" in str(cause):
            return "its vault does not open; give the right password (--ask-vault-pass or --vault-password-file)"
        cause = cause.__cause__ or cause.__context__
    return "its template fails; try it with ansible.builtin.debug"


def read(templar: Any, where: str, raw: Any, problems: list[str]) -> Any:
    """A value with all templates rendered. Parts that cannot be rendered are left out and reported; `where` names the value."""
    try:
        value = raw if isinstance(raw, (Mapping, list)) else templar.template(raw)
    except AnsibleValueOmittedError:
        return MISSING
    except Exception as error:  # noqa: BLE001 - the other values are read after any error
        problems.append(f"{where} cannot be read: {_reason(error)}")
        return MISSING
    if isinstance(value, Mapping):
        items = [(key, _item(templar, f"{where}.{key}", value, key, problems)) for key in value]
        return {key: item for key, item in items if item is not MISSING}
    if isinstance(value, list):
        items = [_item(templar, f"{where}[{n}]", value, n, problems) for n in range(len(value))]
        return [item for item in items if item is not MISSING]
    return value


def _item(templar: Any, where: str, container: Any, key: Any, problems: list[str]) -> Any:
    """One item. Containers that a template returned render their items on access."""
    try:
        raw = container[key]
    except AnsibleValueOmittedError:
        return MISSING
    except Exception as error:  # noqa: BLE001 - as above
        problems.append(f"{where} cannot be read: {_reason(error)}")
        return MISSING
    return read(templar, where, raw, problems)
