"""nginx's configuration as its files have it, and what in files of others nginx refuses beside ours. No Ansible imports.

The files are read here: `nginx -T` would also open the logs, prints nothing where a file is broken, and knows no file that is yet to
be written.
"""

from __future__ import annotations

import fnmatch
import glob
import os
import re
from collections.abc import Collection, Iterator, Mapping
from typing import NamedTuple, Optional

FOLDER = "/etc/nginx"
MAIN = f"{FOLDER}/nginx.conf"
TOKENS = re.compile(r'''"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|#[^\n]*|[{};]|[^\s{};"']+''')
# Directives of the role's nginx.conf that nginx refuses twice in one block. An operator's template may add others, which are left to nginx.
ONCE = set("""client_body_timeout client_header_buffer_size client_header_timeout default_type gzip gzip_min_length gzip_vary keepalive_timeout
    large_client_header_buffers reset_timedout_connection send_timeout sendfile server_names_hash_bucket_size server_tokens ssl_ciphers
    ssl_ecdh_curve ssl_prefer_server_ciphers ssl_session_tickets ssl_session_timeout tcp_nopush types_hash_max_size
    variables_hash_max_size""".split())
ANY_ADDRESS = re.compile(r"^(\*|0\.0\.0\.0):")


class Directive(NamedTuple):
    """A directive, with the blocks around it and whether it opens one."""

    path: str
    line: int
    blocks: tuple[str, ...]
    words: list[str]
    opens: bool


def directives(text: str, path: str = "", around: tuple[str, ...] = ()) -> Iterator[Directive]:
    """The directives of a file that is included in the blocks `around`."""
    words: list[str] = []
    blocks, line = list(around), 1
    for match in TOKENS.finditer(text):
        token = match.group()
        if token.startswith("#"):
            continue
        if token not in "{};":
            if not words:
                line = text.count("\n", 0, match.start()) + 1
            words.append(token.strip("\"'"))
            continue
        if words:
            yield Directive(path, line, tuple(blocks), words, token == "{")
        if token == "{":
            blocks.append(words[0] if words else "")
        elif token == "}" and len(blocks) > len(around):
            blocks.pop()
        words = []


def configuration(path: str = MAIN, root: str = "", texts: Optional[Mapping[str, Optional[str]]] = None, around: tuple[str, ...] = (),
                  seen: Optional[set[str]] = None) -> Iterator[Directive]:
    """The directives of a file and of all that it includes. `texts` has what files will be: None, where one is to be removed."""
    seen, known = set() if seen is None else seen, texts or {}
    if path in seen:
        return
    seen.add(path)
    text = known.get(path)
    if path not in known:
        try:
            with open(root + path, encoding="utf-8", errors="replace") as stream:
                text = stream.read()
        except OSError:
            text = None
    for directive in directives(text or "", path, around):
        yield directive
        if directive.words[0] == "include" and len(directive.words) == 2:
            pattern = os.path.join(FOLDER, directive.words[1])
            there = {name[len(root):] for name in glob.glob(root + pattern)}
            for included in sorted(there.union(fnmatch.filter(known, pattern))):
                yield from configuration(included, root, known, directive.blocks, seen)


def files(root: str = "") -> list[str]:
    """The files that have directives."""
    return list(dict.fromkeys(directive.path for directive in configuration(root=root)))


def server_names(path: str = MAIN, root: str = "") -> Iterator[tuple[str, str]]:
    """Each file with each name that a server block in it has."""
    for directive in configuration(path, root):
        if directive.words[0] == "server_name":
            yield from ((directive.path, name.lower()) for name in directive.words[1:])


def _default_of(directive: Directive) -> str:
    """The address and port of which a `listen` makes its server the default; empty for other directives."""
    words = directive.words
    if words[0] != "listen" or not {"default_server", "default"} & set(words[2:]):
        return ""
    address = words[1] if ":" in words[1] else f"*:{words[1]}" if words[1].isdigit() else f"{words[1]}:80"
    return ANY_ADDRESS.sub("*:", address) + (" quic" if "quic" in words else "")


def conflicts(texts: Mapping[str, Optional[str]], owned: Collection[str], variables: Mapping[str, str], root: str = "") -> list[str]:
    """What nginx would refuse in files of others beside the files `texts`.

    `owned` are the paths of this collection; `variables` the variables that change a directive of `texts`, by its name.
    """
    every = list(configuration(root=root, texts=texts))
    ours = [one for one in every if one.path in texts or one.path in owned]
    others = [one for one in every if one.path not in texts and one.path not in owned]
    written = {one.words[0]: one.path for one in ours if one.blocks == ("http",) and not one.opens and one.words[0] in ONCE}
    defaults = {_default_of(one): one.path for one in ours}
    lines = []
    for one in others:
        name, at = one.words[0], f"{one.path}, line {one.line}"
        if one.blocks == ("http",) and not one.opens and name in written:
            choice = f"; {variables[name]} changes its value" if name in variables else ""
            lines.append(f"{at}: {name} is also in {written[name]}, and nginx refuses a directive that is there twice. Remove this line{choice}")
        elif (address := _default_of(one)) and address in defaults:
            lines.append(f"{at}: this server is the default of {address}, and so is one of {defaults[address]}. Remove default_server here, or set "
                         f"{variables.get('listen', '')}, and this server gets the requests for unknown names")
    return lines
