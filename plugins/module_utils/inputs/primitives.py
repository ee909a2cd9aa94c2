"""Building blocks of rules."""

from __future__ import annotations

import ipaddress
import os
import re
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, Union

from ansible_collections.bulwark.flask.plugins.module_utils.names import is_address, is_domain

Rule = Callable[[str, Any], "list[str]"]

CONTROL = re.compile(r"[\x00-\x1f\x7f]")
URL = r"https?://[^\s/@]+(/[^\s@]*)?"
INDEX_URL = f"|{URL}"
INDEX_URL_HINT = "must be a URL without user and password, such as https://pypi.org/simple"
BELOW_SOURCE = r"(?!.*(^|/)\.\.(/|$))([\w.@+-][\w./@+-]*)?"
UNIT_PATH = r"-?/[\w.@+:/-]*"
PATH_BELOW_ROOT = r"/(?!.*\.\.)[\w.@+:-][\w.@+:/-]*"
DEBIAN_PACKAGE = r"[a-z0-9][a-z0-9+.-]+"
LARGEST = 10**9


class Advice(str):
    """A problem that is shown as a warning only."""


def must(right: str, check: Callable[[Any], bool]) -> Rule:
    """A rule: `check` holds, or the value `right` (a text that begins with "must")."""
    return lambda where, value: [] if check(value) else [f"{where} {right}"]


def between(low: int, high: int, what: str = "") -> Rule:
    """A whole number in a range."""
    return must(f"must be {what + ', ' if what else ''}{low} to {high}", lambda value: low <= int(value) <= high)


def at_least(low: int) -> Rule:
    """A whole number that is not too small, and not implausibly large."""
    return must(f"must be {low} or more ({LARGEST} at most)", lambda value: low <= int(value) <= LARGEST)


def matches(pattern: Union[str, re.Pattern[str]], right: str) -> Rule:
    """A text that matches a pattern."""
    return must(right, lambda value: bool(re.fullmatch(pattern, str(value))))


def each(pattern: Union[str, re.Pattern[str]], right: str) -> Rule:
    """A list of texts (or a mapping with keys) that match a pattern."""
    return must(right, lambda value: all(re.fullmatch(pattern, str(item)) for item in value))


def file_here(text: str) -> str:
    """The absolute path of a file on the controller."""
    return os.path.abspath(os.path.expanduser(text))


def are_ports(value: Any) -> bool:
    """Whether all items are ports, each once."""
    return all(1 <= int(port) <= 65535 for port in value) and len(set(map(int, value))) == len(value)


def is_network(text: Any) -> bool:
    """Whether a text is an address, or a network without host bits."""
    try:
        ipaddress.ip_network(str(text))
    except ValueError:
        return False
    return isinstance(text, str)


def twice(where: str, values: Any) -> list[str]:
    """Items that are listed more than once."""
    return [f"{where}: {item} is listed twice; keep one" for item, n in Counter(map(str, values)).items() if n > 1]


NATURAL = at_least(0)
POSITIVE = at_least(1)
PORT = between(1, 65535, "a port")
PORTS = must("must be ports, 1 to 65535, each once", are_ports)
NETWORKS = must("must be addresses or networks without host bits, such as [192.0.2.7, 192.0.2.0/24, \"2001:db8::/48\"]",
                lambda value: all(map(is_network, value)))
WRITABLE_PATHS = each(PATH_BELOW_ROOT, "must be absolute paths without spaces, and not /")
PATH_OR_EMPTY = matches(f"|{PATH_BELOW_ROOT}", "must be an absolute path without spaces and .., or empty")

SANDBOX = each(r"[A-Z][A-Za-z]+", "must be directives of systemd by name, such as {PrivateTmp: \"no\"}")


def absolute_path(where: str, value: Any) -> list[str]:
    """A path on the host."""
    ok = re.fullmatch(r"(?!.*/\.\.(/|$))/[\w.@+:/-]*", str(value))
    return [] if ok else [f"{where} must be an absolute path without spaces and .."]


def domain(where: str, name: Any) -> list[str]:
    """One name or address that clients use."""
    right = "write it like shop.example.com"
    if not isinstance(name, str) or not name:
        return [f"{where}: every domain is a text; {right}"]
    shown = ascii(name) if CONTROL.search(name) else f"'{name}'"
    if "://" in name:
        return [f"{where}: {shown} is a URL; leave out {name.split('://')[0]}:// and any path"]
    if is_address(name.strip("[]")):
        return _public_address(where, name)
    if "/" in name or ":" in name or "@" in name:
        return [f"{where}: {shown} has more than a name in it; leave out port, path and user"]
    if name.startswith("*.") and "*" not in name[2:]:
        return domain(where, name[2:])
    if "*" in name:
        return [f"{where}: {shown} is not a domain; a wildcard stands for the whole first part, such as *.example.com"]
    if not name.isascii():
        try:
            return [f"{where}: {shown} has letters that DNS does not have; write {name.encode('idna').decode()}"]
        except UnicodeError:
            return [f"{where}: {shown} is not a domain; {right}"]
    plain = name.lower().rstrip(".")
    if is_domain(plain) and name != plain:
        return [f"{where}: {shown} must be in lower case without a dot at its end; write {plain}"]
    if re.fullmatch(r"[0-9.]+", name):
        return [f"{where}: {shown} is neither a name nor an address; {right}"]
    if "." not in name:
        return [f"{where}: {shown} is not complete; {right}"]
    return [] if is_domain(name) else [f"{where}: {shown} is not a domain; {right}"]


def _public_address(where: str, text: str) -> list[str]:
    address = ipaddress.ip_address(text.strip("[]"))
    if text != str(address):
        return [f"{where}: '{text}' is an address in another form; write {address}"]
    if address.is_loopback or address.is_unspecified or address.is_multicast or address.is_link_local:
        return [f"{where}: clients cannot reach {text}; write an address of this host"]
    return []


def domains(where: str, value: Any) -> list[str]:
    """Names that clients use."""
    if not isinstance(value, list) or not value:
        return [f"{where} must be a list of domains, such as [shop.example.com]"]
    return [problem for name in value for problem in domain(where, name)] + twice(where, value)


def client_networks(where: str, value: Any) -> list[str]:
    """Addresses and networks of clients, each once; networks of all addresses are refused."""
    return [problem for n, item in enumerate(value) for problem in _client_network(f"{where}[{n}]", item)] + twice(where, value)


def _client_network(where: str, value: Any) -> list[str]:
    try:
        # An IPv6 zone, after %, can contain any character.
        network = ipaddress.ip_network(str(value) if "%" not in str(value) else "", strict=False)
    except ValueError:
        return [f"{where} must be an address or network, such as 192.0.2.7 or 2001:db8::/32"]
    if "/" in str(value) and str(network) != str(value).lower():
        return [f"{where} has host bits set; write {network}"]
    return [] if network.prefixlen else [f"{where} is every address; name the networks you mean"]


def setting(app: Mapping[str, Any], role: str, option: str, default: Any = None) -> Any:
    """A setting in a role's section of an entry."""
    given = app.get(role)
    return given.get(option, default) if isinstance(given, Mapping) else default


def is_whole(value: Any) -> bool:
    """Whether a value is a whole number, or the text of one (as with -e name=value)."""
    return isinstance(value, int) and not isinstance(value, bool) or isinstance(value, str) and bool(re.fullmatch(r"-?\d+", value))


def number(value: Any, default: int) -> int:
    """A whole number, or the default for anything else."""
    return int(value) if is_whole(value) else default
