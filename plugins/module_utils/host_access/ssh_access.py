"""Whether the way an operator came in stays open under a new configuration. No Ansible imports.

What sshd makes of its configuration is asked of sshd itself (`sshd -T`); this module looks at the answer.
"""

from __future__ import annotations

import base64
import binascii
import dataclasses
import fnmatch
import hashlib
import ipaddress
import os
import re
from typing import Callable, Optional

# What sshd prints for a value that has two names.
LISTS = ("allowusers", "denyusers", "allowgroups", "denygroups")
# Given more than once, these add up instead of the first one deciding.
ADDING = ("port", "listenaddress", "acceptenv", "setenv", "hostkey", "subsystem", *LISTS)


@dataclasses.dataclass(frozen=True)
class Session:
    """The connection a run came through: who, from where, to which port of this host, and how."""

    user: str
    address: str
    client_port: int
    server_address: str
    port: int
    # What sshd wrote into its log: publickey, password, …, and the fingerprint of the key; empty where it says nothing.
    method: str = ""
    key: str = ""


@dataclasses.dataclass(frozen=True)
class Account:
    """What this host knows of the operator's account."""

    groups: list[str]
    home: str
    uid: int


def session_of(environment: dict[str, str]) -> Optional[Session]:
    """The session that a process with this environment belongs to."""
    parts = environment.get("SSH_CONNECTION", "").split()
    if len(parts) != 4 or not parts[1].isdigit() or not parts[3].isdigit():
        return None
    user = environment.get("SUDO_USER") or environment.get("LOGNAME") or environment.get("USER") or ""
    return Session(user, parts[0].split("%")[0], int(parts[1]), parts[2].split("%")[0], int(parts[3]))


def read_environment(pid: int, proc: str = "/proc") -> dict[str, str]:
    """The variables a process was started with."""
    try:
        with open(f"{proc}/{pid}/environ", "rb") as stream:
            items = stream.read().decode(errors="replace").split("\0")
    except OSError:
        return {}
    return dict(item.split("=", 1) for item in items if "=" in item)


def parent_of(pid: int, proc: str = "/proc") -> int:
    """The process that started another."""
    try:
        with open(f"{proc}/{pid}/stat", encoding="utf-8", errors="replace") as stream:
            return int(stream.read().rsplit(")", 1)[1].split()[1])
    except (OSError, ValueError, IndexError):
        return 0


def own_session(pid: int, proc: str = "/proc") -> Optional[Session]:
    """The session of a process or of the nearest of its ancestors that has one: sudo hides it from what it starts."""
    found = None
    while pid > 1 and found is None:
        found = session_of(read_environment(pid, proc))
        pid = parent_of(pid, proc)
    return found


def with_login(session: Session, log: str) -> Session:
    """The session with how it was opened, as the log of sshd says. A certificate is no key of a file."""
    line = rf"Accepted (\S+) for {re.escape(session.user)} from {re.escape(session.address)} port {session.client_port} ssh2(?:: (\S+) (\S+))?"
    found = re.findall(line, log)
    if not found:
        return session
    method, kind, key = found[-1]
    return dataclasses.replace(session, method=method.split("/")[0], key="" if kind.endswith("-CERT") else key)


def parse(text: str) -> dict[str, list[str]]:
    """The output of `sshd -T`: each keyword with its values, one for each line."""
    found: dict[str, list[str]] = {}
    for line in text.splitlines():
        keyword, _, value = line.partition(" ")
        if keyword:
            found.setdefault(keyword.lower(), []).append(value.strip())
    return found


def overruled(ours: dict[str, list[str]], whole: dict[str, list[str]], keywords: list[str]) -> list[str]:
    """Keywords of our file that mean something else once all files are read: another one came first."""
    found = []
    for keyword in keywords:
        mine, theirs = ours.get(keyword.lower(), []), whole.get(keyword.lower(), [])
        if keyword.lower() in ADDING and set(mine) <= set(theirs) or mine == theirs:
            continue
        found.append(f"{keyword} would be {', '.join(theirs) or 'unset'} instead of {', '.join(mine)}: something before this "
                     "file decides it, in /etc/ssh/sshd_config above its Include or in a file whose name sorts first")
    return found


def _glob(pattern: str, text: str) -> bool:
    """sshd's patterns know * and ? alone."""
    return fnmatch.fnmatchcase(text, pattern.replace("[", "[[]"))


def _address(pattern: str, address: str) -> bool:
    try:
        return ipaddress.ip_address(address) in ipaddress.ip_network(pattern, strict=False)
    except ValueError:
        return _glob(pattern.lower(), address.lower())


def _user_matches(pattern: str, session: Session) -> bool:
    name, at, host = pattern.rpartition("@")
    if not at:
        return _glob(pattern, session.user)
    hosts = host.split(",")
    return _glob(name, session.user) and any(_address(item, session.address) for item in hosts)


def listed(patterns: list[str], matches: Callable[[str], bool]) -> Optional[bool]:
    """Whether a list of patterns names somebody; None when there is no list. A negated match decides against."""
    words = [word for line in patterns for word in line.split() if word != "none"]
    if not words:
        return None
    if any(word.startswith("!") and matches(word[1:]) for word in words):
        return False
    return any(matches(word) for word in words if not word.startswith("!"))


def account_problems(config: dict[str, list[str]], session: Session, account: Account) -> list[str]:
    """Why sshd would not let this account in."""
    def by_user(pattern: str) -> bool:
        return _user_matches(pattern, session)

    def by_group(pattern: str) -> bool:
        return any(_glob(pattern, group) for group in account.groups)

    def first(keyword: str) -> str:
        return config.get(keyword, [""])[0]

    found = []
    if listed(config.get("denyusers", []), by_user):
        found.append(f"DenyUsers names {session.user}, who you are")
    if listed(config.get("allowusers", []), by_user) is False:
        found.append(f"AllowUsers does not name {session.user} from {session.address}, who you are: add {session.user}")
    if listed(config.get("denygroups", []), by_group):
        found.append(f"DenyGroups names a group of {session.user}, who you are")
    if listed(config.get("allowgroups", []), by_group) is False:
        found.append(f"AllowGroups names no group of {session.user}, who you are: add one of {', '.join(account.groups)}")
    if account.uid == 0 and first("permitrootlogin") in ("no", "forced-commands-only"):
        found.append(f"PermitRootLogin {first('permitrootlogin')} closes the way to root, who you are: log in as another user "
                     "who may use sudo (ansible_user, become: true) first")
    return found


def authorized_key_files(config: dict[str, list[str]], session: Session, account: Account) -> list[str]:
    """Where sshd looks for the account's keys."""
    found = []
    for word in " ".join(config.get("authorizedkeysfile", [])).split():
        path = word.replace("%%", "\0").replace("%h", account.home).replace("%u", session.user)
        path = path.replace("%U", str(account.uid)).replace("\0", "%")
        found.append(os.path.join(account.home, path))
    return [path for path in found if os.path.basename(path) != "none"]


def _strings(blob: bytes) -> list[bytes]:
    """The parts of a key, each with its length before it."""
    found = []
    while len(blob) >= 4:
        size = int.from_bytes(blob[:4], "big")
        found.append(blob[4:4 + size])
        blob = blob[4 + size:]
    return found


@dataclasses.dataclass(frozen=True)
class Key:
    """A public key: its type, and the length of an RSA key."""

    kind: str
    bits: int = 0

    @property
    def algorithms(self) -> list[str]:
        """What it can sign with."""
        return ["rsa-sha2-512", "rsa-sha2-256", "ssh-rsa"] if self.kind == "ssh-rsa" else [self.kind]


def keys_in(paths: list[str]) -> dict[str, Key]:
    """The keys of some files by their fingerprints, as the log has them."""
    found: dict[str, Key] = {}
    for path in paths:
        try:
            with open(path, encoding="utf-8", errors="replace") as stream:
                lines = [line for line in stream if not line.lstrip().startswith("#")]
        except OSError:
            continue
        for kind, text in re.findall(r"(?:^|\s)((?:ssh|ecdsa|sk)-[\w@.-]+)\s+(AAAA[\w+/]+=*)", "".join(lines), re.MULTILINE):
            try:
                blob = base64.b64decode(text)
            except binascii.Error:
                continue
            digest = base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")
            parts = _strings(blob)
            found[f"SHA256:{digest}"] = Key(kind, int.from_bytes(parts[2], "big").bit_length() if kind == "ssh-rsa" and len(parts) > 2 else 0)
    return found


def method_problems(config: dict[str, list[str]], session: Session, paths: list[str], keys: dict[str, Key]) -> list[str]:
    """Why the operator's way to prove who they are would not be accepted. `keys` are those in the files `paths`."""
    def first(keyword: str, otherwise: str) -> str:
        return config.get(keyword, [otherwise])[0]

    typed = {"password": "passwordauthentication", "keyboard-interactive": "kbdinteractiveauthentication"}
    if session.method in typed:
        return [] if first(typed[session.method], "no") == "yes" else [
            f"you came with a password, and passwords will not be accepted: put your key there first (ssh-copy-id "
            f"{session.user}@…) and run again without a password"]
    if session.method not in ("", "publickey"):
        return []  # host-based, Kerberos: the new connection shows whether it still works
    if first("pubkeyauthentication", "no") != "yes":
        return ["PubkeyAuthentication no closes the way you came: by key"]
    if session.key in keys:
        return _key_problems(config, session.key, keys[session.key])
    elsewhere = any(first(keyword, "none") not in ("", "none") for keyword in ("authorizedkeyscommand", "trustedusercakeys"))
    if elsewhere or not session.key and keys:
        return []
    return [f"{f'your key {session.key}' if session.key else f'a key of {session.user}'} is not in "
            f"{' or '.join(paths) or 'any file (AuthorizedKeysFile none)'}, and only keys there will be accepted: put yours there first"]


def _key_problems(config: dict[str, list[str]], fingerprint: str, key: Key) -> list[str]:
    """Why the key the operator came with would not do."""
    accepted = config.get("pubkeyacceptedalgorithms", [""])[0].split(",")
    shortest = int(config.get("requiredrsasize", ["0"])[0])
    another = "make another (ssh-keygen -t ed25519) and put it there first"
    if not set(key.algorithms) & set(accepted):
        return [f"PubkeyAcceptedAlgorithms would not have {' or '.join(key.algorithms)}, for your key {fingerprint}: {another}"]
    if key.kind == "ssh-rsa" and key.bits < shortest:
        return [f"your RSA key {fingerprint} has {key.bits} bits, and {shortest} will be required: {another}"]
    return []


# Asked by this host itself, so that answers come in as what they are: DHCP, by both protocols.
ASKING = {68, 546}


def closed(listing: str, opened: dict[str, set[int]]) -> list[str]:
    """What listens to others on ports that are not open, as `ss -Hlntup` lists it."""
    found = {}
    for protocol, _, _, _, local, _, *process in (line.split(None, 6) for line in listing.splitlines() if len(line.split()) > 5):
        address, _, port = local.rpartition(":")
        address = address.strip("[]").removeprefix("::ffff:")
        if address.startswith("127.") or address == "::1" or address.endswith("%lo") or int(port) in opened[protocol]:
            continue
        if protocol == "tcp" or int(port) not in ASKING:
            names = re.findall(r'"([^"]+)"', process[0]) if process else []
            if names or (protocol, int(port)) not in found:
                found[protocol, int(port)] = f"{protocol} {port}" + (f" ({names[0]})" if names else "")
    return [found[key] for key in sorted(found)]


def network_problems(config: dict[str, list[str]], session: Session, allowed: Optional[list[int]],
                     sources: list[str]) -> list[str]:
    """Why packets of the operator would not arrive. `allowed` are the firewall's ports for SSH; None without one."""
    found, listening = [], [int(port) for port in config.get("port", []) if port.isdigit()]
    if session.port not in listening:
        found.append(f"sshd would no longer listen on port {session.port}, which you came through: keep {session.port} beside "
                     "the new port, then set ansible_port in the inventory to the new one, then take the old one out")
    if allowed is not None and session.port not in allowed:
        found.append(f"the firewall would not let port {session.port} through, which you came through")
    if allowed is not None and sources and not any(_address(source, session.address) for source in sources):
        found.append(f"the list of sources does not have {session.address}, where you come from (as this host sees it)")
    return found
