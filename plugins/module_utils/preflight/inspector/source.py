"""Read the application's own files, without running them."""

from __future__ import annotations

import ast
import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from ansible_collections.bulwark.flask.plugins.module_utils.secret_key import MINIMUM_LENGTH

# Directories that are not the application's own code, and those that never run on a server.
FOREIGN = {"node_modules", "site-packages", "__pycache__", ".git", ".hg", ".svn", ".tox", ".nox", ".mypy_cache", ".pytest_cache"}
TESTS = {"tests", "test"}
LARGEST_FILE, MOST_BYTES, MOST_FILES = 16 * 2**20, 128 * 2**20, 20_000
MAIN = {ast.dump(ast.parse(text, mode="eval").body) for text in ("__name__ == '__main__'", "'__main__' == __name__")}
LISTED = 12  # how many places one finding names


class Place(NamedTuple):
    """A line of a file."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


def listed(places: Iterable[Any], most: int = LISTED) -> str:
    """Some places, and the number of further ones."""
    every = list(dict.fromkeys(map(str, places)))
    return ", ".join(every[:most]) + (f" and {len(every) - most} more" if len(every) > most else "")


class Source:
    """The application's own files, and facts about its Python code without running it."""

    def __init__(self, roots: Iterable[Path]) -> None:
        self.files: dict[Path, str] = {}  # path -> the name it is reported by
        self.bytes = 0
        self.complete = True
        for root in roots:
            self._collect(root)
        self.imports: set[str] = set()
        self.names: set[str] = set()
        self.flask_names: set[str] = set()  # names imported from the package flask
        self.request: dict[str, list[Place]] = {}  # attribute of request -> where it is used
        self.markup: list[Place] = []
        self.template_strings: list[Place] = []
        self.trees: dict[str, ast.AST] = {}
        self.unreadable: list[str] = []
        for path, name in self.files.items():
            if path.suffix == ".py":
                self._read(path, name)

    def _collect(self, root: Path) -> None:
        if root.is_file():
            self.files.setdefault(root, root.name)
            return
        for directory, below, names in os.walk(root):
            here = Path(directory)
            below[:] = sorted(d for d in below if d not in FOREIGN and not (here / d / "pyvenv.cfg").exists())
            for name in sorted(names):
                path = here / name
                if path.is_symlink() or not path.is_file():
                    continue
                size = path.stat().st_size
                if len(self.files) >= MOST_FILES or self.bytes + size > MOST_BYTES or size > LARGEST_FILE:
                    self.complete = False
                else:
                    self.bytes += size
                    self.files.setdefault(path, str(path.relative_to(root)))

    def _read(self, path: Path, name: str) -> None:
        try:
            tree = ast.parse(path.read_bytes())
        except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):
            self.unreadable.append(name)
            return
        self.trees[name] = tree
        if TESTS & set(Path(name).parts) or path.name.startswith("test_") or path.name == "conftest.py":
            return
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                self.imports |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
                self.imports.add(node.module.split(".")[0])
                self.names |= {alias.name for alias in node.names}
                if node.module == "flask":
                    self.flask_names |= {alias.name for alias in node.names}
            elif isinstance(node, ast.Name):
                self.names.add(node.id)
            elif isinstance(node, ast.Attribute):
                self.names.add(node.attr)
                if isinstance(node.value, ast.Name) and node.value.id == "flask":
                    self.flask_names.add(node.attr)
                if _last_name(node.value) == "request":
                    self.request.setdefault(node.attr, []).append(Place(name, node.lineno))
            elif isinstance(node, ast.Call):
                called = _last_name(node.func)
                if called == "Markup" and node.args and not isinstance(node.args[0], ast.Constant):
                    self.markup.append(Place(name, node.lineno))
                elif called in ("render_template_string", "from_string"):
                    self.template_strings.append(Place(name, node.lineno))

    def main_blocks(self) -> list[tuple[str, int, int]]:
        """The blocks of `if __name__ == "__main__"`: the file, the first and the last line."""
        return [(name, node.lineno, node.body[-1].end_lineno or node.lineno) for name, tree in self.trees.items() for node in getattr(tree, "body", [])
                if isinstance(node, ast.If) and ast.dump(node.test) in MAIN]

    def holding(self, key: Any) -> list[Place]:
        """Where a key stands in a file, as text or as a literal of Python."""
        raw = key.encode() if isinstance(key, str) else key
        places = [Place(name, node.lineno) for name, tree in self.trees.items() for node in ast.walk(tree)
                  if isinstance(node, ast.Constant) and isinstance(node.value, (str, bytes)) and node.value in (key, raw)]
        # A short key would be found inside of other words.
        wanted = [raw] if len(raw) >= MINIMUM_LENGTH else [q + raw + q for q in (b'"', b"'")] if raw else []
        for path, name in self.files.items():
            try:
                content = path.read_bytes()
            except OSError:
                continue
            for text in wanted:
                if text in content:
                    places.append(Place(name, content[: content.index(text)].count(b"\n") + 1))
        return places


def _last_name(node: ast.AST) -> str:
    return node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""


def source_roots(source: Path, app: Any) -> list[Path]:
    """The directories of the application's own files: its source, and its package if that is installed in another place."""
    roots, package = [source], Path(app.root_path)
    if source == package or source in package.parents:
        return roots
    module = sys.modules.get(app.import_name)
    file = getattr(module, "__file__", None)
    if getattr(module, "__path__", None):
        roots.append(package)
    elif file:
        roots.append(Path(str(file)))  # a single module in site-packages
    return roots
