"""The effective configuration of sshd, as `sshd -T` prints it. No Ansible imports."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from typing import Optional

SSH = "/etc/ssh"
MAIN, DROP_INS = "sshd_config", "sshd_config.d"
# Keywords that can occur more than once: all their values count, not only the first one.
CUMULATIVE = {"port", "listenaddress", "acceptenv", "setenv", "hostkey", "subsystem", "allowusers", "denyusers", "allowgroups", "denygroups"}
# The setting that enables an authentication method, by the method's name in AuthenticationMethods.
METHODS = {"publickey": "PubkeyAuthentication", "password": "PasswordAuthentication", "keyboard-interactive": "KbdInteractiveAuthentication",
           "hostbased": "HostbasedAuthentication", "gssapi-with-mic": "GSSAPIAuthentication"}
Config = dict[str, list[str]]


def parse(text: str) -> Config:
    """The output of `sshd -T`: the values of each keyword, one for each line."""
    config: Config = {}
    for line in text.splitlines():
        keyword, _unused, value = line.partition(" ")
        if keyword:
            config.setdefault(keyword.lower(), []).append(value.strip())
    return config


def global_keywords(text: str) -> list[str]:
    """The keywords that a configuration file sets outside of Match blocks."""
    keywords: list[str] = []
    for words in (line.split() for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")):
        if words[0].lower() == "match":
            break
        keywords.append(words[0])
    return list(dict.fromkeys(keywords))


def stage(folder: str, texts: dict[str, Optional[str]], root: str = SSH) -> str:
    """Copy sshd's configuration to a folder, with some files replaced; returns the path of the copied main file.

    `texts` has the new text by path below `root`, None for a file that is removed.
    """
    paths = [MAIN]
    if os.path.isdir(f"{root}/{DROP_INS}"):
        paths += [f"{DROP_INS}/{name}" for name in sorted(os.listdir(f"{root}/{DROP_INS}")) if name.endswith(".conf")]
    copies: dict[str, Optional[str]] = {}
    for path in paths:
        if os.path.isfile(f"{root}/{path}"):
            with open(f"{root}/{path}", encoding="utf-8", errors="surrogateescape") as stream:
                copies[path] = stream.read()
    copies.update(texts)
    os.mkdir(f"{folder}/{DROP_INS}")
    for path, text in copies.items():
        if text is not None:
            # An Include of the drop-ins includes their copies.
            text = re.sub(r"(?im)^(\s*Include\s.*)$", lambda line: re.sub(rf"({root}/)?{DROP_INS}/", f"{folder}/{DROP_INS}/", line[1]), text)
            with open(f"{folder}/{path}", "w", encoding="utf-8", errors="surrogateescape") as stream:
                stream.write(text)
    return f"{folder}/{MAIN}"


def includes_drop_ins(text: str) -> bool:
    """Whether a main file includes drop-ins outside of Match blocks."""
    return re.search(rf"(?im)^\s*include\s.*{DROP_INS}/", re.split(r"(?im)^\s*match\s", text)[0]) is not None


def overruled(ours: Config, whole: Config, keywords: Iterable[str]) -> list[str]:
    """The settings of our file that have another value once all files are read: sshd takes the first value it reads."""
    problems = []
    for keyword in keywords:
        own, effective = ours.get(keyword.lower(), []), whole.get(keyword.lower(), [])
        if own != effective and not (keyword.lower() in CUMULATIVE and set(own) <= set(effective)):
            problems.append(f"{keyword} is {', '.join(effective) or 'unset'} and not {', '.join(own)}: another file is read first. Remove the "
                            f"setting from {SSH}/{MAIN} above its Include, or from a file in {SSH}/{DROP_INS} whose name sorts first")
    return problems


def login_chains(config: Config) -> list[list[str]]:
    """Each sequence of authentication methods that leads to a login, with every method switched on."""
    enabled = [method for method, keyword in METHODS.items() if config.get(keyword.lower(), ["no"])[0] == "yes"]
    chains = config.get("authenticationmethods", ["any"])[0].split()
    wanted = [[method] for method in enabled] if chains in ([], ["any"]) else [[method.partition(":")[0] for method in chain.split(",")] for chain in chains]
    return [chain for chain in wanted if set(chain) <= set(enabled)]


def locked_out(accounts: dict[str, tuple[Config, Config]], general: Config) -> list[str]:
    """The accounts that lose their last authentication method, with the settings that keep it.

    `accounts` has each account's configuration before and after, `general` the one after the change outside of Match blocks.
    """
    names: dict[tuple[str, bool], list[str]] = {}
    for name, (before, after) in accounts.items():
        if login_chains(before) and not login_chains(after):
            off = [[METHODS[method] for method in chain if after.get(METHODS[method].lower(), ["no"])[0] != "yes"] for chain in login_chains(before)]
            any_method = before.get("authenticationmethods", ["any"])[0] == "any"
            names.setdefault((", ".join(f'{keyword}: "yes"' for keyword in min(off, key=len)), any_method), []).append(name)
    problems = []
    for (settings, any_method), those in sorted(names.items()):
        if any_method:
            cure = f"set {settings.replace(chr(34), '')} in the Match block that switches key login off for them"
        else:
            # Without AuthenticationMethods, a password would be enough for all other accounts.
            others = ", AuthenticationMethods: publickey" if general.get("authenticationmethods", ["any"])[0] == "any" else ""
            cure = f"set host_access_ssh_settings: {{{settings}{others}}}"
        problems.append(f"{', '.join(those)} could not log in any more: every authentication method sshd offers them would be off; {cure}")
    return problems


def without_key(config: Config) -> bool:
    """Whether an account can log in without a key."""
    return any("publickey" not in chain for chain in login_chains(config))
