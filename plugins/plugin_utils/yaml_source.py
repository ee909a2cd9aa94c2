"""The text of a value in its YAML file, where Ansible has only the parsed value."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any, Optional

import yaml


class Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """A loader that accepts Ansible's tags."""


Loader.add_multi_constructor("!", lambda loader, suffix, node: None)


@lru_cache(maxsize=None)
def _composed(path: str) -> Any:
    return yaml.compose(Path(path).read_text(encoding="utf-8"), Loader)


def file_of(value: Any) -> tuple[str, Any]:
    """The file of a value, and its root node; an empty path if there is no readable YAML file."""
    try:
        from ansible._internal._datatag._tags import Origin  # noqa: PLC0415 - not there in every version

        origin = Origin.get_tag(value)
        return ("", None) if origin is None else (str(origin.path), _composed(str(origin.path)))
    except Exception:  # noqa: BLE001 - vaulted, generated or gone: nothing to compare
        return "", None


def mappings(root: Any) -> list[tuple[str, yaml.MappingNode]]:
    """All mappings below a node, each with the key it stands at."""
    pairs, stack = [], [("", root)]
    while stack:
        key, node = stack.pop()
        if isinstance(node, yaml.MappingNode):
            pairs.append((key, node))
            stack += [(str(name.value), value) for name, value in node.value]
        elif isinstance(node, yaml.SequenceNode):
            stack += [("", item) for item in node.value]
    return pairs


def plain_scalars(value: Any) -> dict[str, str]:
    """The text of each unquoted value of a mapping that was read from a file, by key."""
    path, root = file_of(value)
    if not path:
        return {}
    from ansible._internal._datatag._tags import Origin  # noqa: PLC0415 - as above

    origin: Optional[Any] = Origin.get_tag(value)
    for _unused, node in mappings(root):
        if origin and (node.start_mark.line + 1, node.start_mark.column + 1) == (origin.line_num, origin.col_num):
            return {str(name.value): item.value for name, item in node.value if isinstance(item, yaml.ScalarNode) and not item.style}
    return {}
