#!/usr/bin/python
"""Users of the session store. Their passwords are generated on the host and never leave it."""

from __future__ import annotations

DOCUMENTATION = r"""
module: session_store_users
short_description: Manage the users of the session store, one per application
version_added: "0.1.0"
description:
  - Generates a password per application on the host, once, and writes it with the address of the store to an
    environment file that only root can read. The store's own file of users holds its SHA-256.
  - A running store gets new users and loses removed ones one by one. Nothing is restarted or reloaded, so that
    the other users keep their connections.
  - Users that were changed in the running store or in the file are corrected.
options:
  apps:
    description:
      - The applications that get a user. A user's keys begin with its name and a colon.
      - Applications that got one from an earlier run keep it, unless O(absent) names them.
    type: list
    elements: str
    required: true
  absent:
    description: Applications that lose user and password.
    type: list
    elements: str
    default: []
  commands:
    description: Commands that an application may run.
    type: list
    elements: str
    required: true
  directory:
    description: Directory of the users' file, C(users.acl), and of the administrator's password, C(root.password).
    type: path
    required: true
  socket:
    description: Socket of the store.
    type: path
    required: true
  secrets_directory:
    description: Directory of the environment files, C(<app>.session.env).
    type: path
    default: /etc/flask-secrets
  owner:
    description: Account of the store, the only one that reads the users' file.
    type: str
    default: session-store
  unit:
    description: Unit of the store. It is restarted when the store cannot be reached, once there are users.
    type: str
attributes:
  check_mode:
    description: Predicts what would change.
    support: full
  diff_mode:
    description: Not supported, because every line is a secret.
    support: none
author:
  - The bulwark.flask authors (@bulwark)
"""

EXAMPLES = r"""
- name: Let two applications keep sessions
  bulwark.flask.session_store_users:
    apps: [shop, blog]
    commands: [get, set, del, expire, ttl]
    directory: /etc/session-store
    socket: /run/session-store/session-store.sock
"""

RETURN = r"""
generated:
  description: Applications that got a new password.
  type: list
  elements: str
  returned: always
removed:
  description: Applications that lost their user.
  type: list
  elements: str
  returned: always
"""

import hashlib
import os
import pwd
import re
import secrets
import socket
import stat

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.bulwark.flask.plugins.module_utils import fs

PASSWORD = re.compile(r"[A-Za-z0-9_-]{43,}")
VARIABLE = "FLASK_SESSION_STORE_URL"
SUFFIX = ".session.env"
HEADER = ("# Generated on this host, once, by the module bulwark.flask.session_store_users. To change the password\n"
          "# remove this file and run the playbook.\n")
# The store's administrator; no application can have this name.
ROOT = "root"


class Refused(Exception):
    """The store returned an error."""


class Store:
    """A connection to the running store, as its administrator."""

    def __init__(self, path, password):
        self.connection = socket.socket(socket.AF_UNIX)
        self.connection.settimeout(10)
        self.connection.connect(path)
        self.replies = self.connection.makefile("rb")
        self.ask("AUTH", ROOT, password)

    def ask(self, *words):
        """Run one command and return the reply."""
        parts = [b"$%d\r\n%s\r\n" % (len(word.encode()), word.encode()) for word in words]
        self.connection.sendall(b"*%d\r\n" % len(parts) + b"".join(parts))
        return self._reply()

    def _reply(self):
        line = self.replies.readline().decode()
        if not line:
            raise ConnectionResetError("the store closed the connection")
        kind, rest = line[0], line[1:].strip()
        if kind == "-":
            raise Refused(rest)
        if kind == "$":
            return self.replies.read(int(rest) + 2)[:-2].decode()
        return [self._reply() for _unused in range(int(rest))] if kind == "*" else rest


def access(rules):
    """The rules on state, password and keys. Redis 7.0 rewrites the rules on commands; those are compared in the file."""
    return {word for word in rules if word in ("on", "off", "nopass") or word[0] in "#~%&"}


def text_of(path, mode, uid):
    """The text of a file with this mode and owner; empty for anything else."""
    try:
        state = os.lstat(path)
        if not stat.S_ISREG(state.st_mode) or (state.st_uid, stat.S_IMODE(state.st_mode)) != (uid, mode):
            return ""
        with open(path, encoding="ascii") as stream:
            return stream.read()
    except (FileNotFoundError, ValueError):
        return ""


class Users:
    """The current and the requested users."""

    def __init__(self, params):
        self.params = params
        self.acl = os.path.join(params["directory"], "users.acl")
        self.administrator = os.path.join(params["directory"], "root.password")
        known = [name[:-len(SUFFIX)] for name in self._files()]
        self.removed = [app for app in known if app in params["absent"] and app not in params["apps"]]
        self.apps = list(dict.fromkeys([*params["apps"], *(app for app in known if app not in self.removed)]))
        self.new = {}
        self.passwords = {app: self._password(app) for app in self.apps}
        password = text_of(self.administrator, 0o600, os.geteuid()).strip()
        self.root_is_new = not PASSWORD.fullmatch(password)
        self.root = secrets.token_urlsafe(48) if self.root_is_new else password
        self.store, self.rejected = None, False
        self.wrong, self.unwanted = [], []

    def _files(self):
        try:
            return sorted(name for name in os.listdir(self.params["secrets_directory"]) if name.endswith(SUFFIX))
        except FileNotFoundError:
            return []

    def _path(self, app):
        return os.path.join(self.params["secrets_directory"], app + SUFFIX)

    def _line(self, app, password):
        return f'{VARIABLE}="unix://{app}:{password}@{self.params["socket"]}"\n'

    def _password(self, app):
        """The application's password; a new one where the file holds no valid one."""
        text = text_of(self._path(app), 0o600, os.geteuid())
        found = re.search(r":([A-Za-z0-9_-]{43,})@", text)
        if found and self._line(app, found.group(1)) in text.splitlines(keepends=True):
            return found.group(1)
        self.new[app] = secrets.token_urlsafe(48)
        return self.new[app]

    def rules(self):
        """The rules of every user. The user without a password is off."""
        def hashed(password):
            return "#" + hashlib.sha256(password.encode()).hexdigest()
        commands = [f"+{command}" for command in self.params["commands"]]
        found = {"default": ["off", "-@all"], ROOT: ["on", hashed(self.root), "~*", "&*", "+@all"]}
        return found | {app: ["on", hashed(password), f"~{app}:*", "-@all", *commands]
                        for app, password in self.passwords.items()}

    def lines(self):
        """The file of users, line by line."""
        return {name: f"user {name} resetpass resetkeys resetchannels {' '.join(rules)}\n" for name, rules in self.rules().items()}

    def read(self):
        """The current file; empty where its owner or mode is wrong."""
        try:
            return text_of(self.acl, 0o400, pwd.getpwnam(self.params["owner"]).pw_uid)
        except KeyError:
            return ""

    def file_is_right(self):
        """Whether the store would start with these users."""
        return self.read() == "".join(self.lines().values())

    def compare(self):
        """Compare the users of the running store, if there is one."""
        try:
            self.store = Store(self.params["socket"], self.root)
        except (FileNotFoundError, ConnectionRefusedError):
            return
        except Refused:
            self.rejected = True
            return
        lines = [line.split() for line in self.store.ask("ACL", "LIST")]
        there, wanted, text = {words[1]: access(words[2:]) for words in lines}, self.rules(), self.read()
        self.wrong = [name for name, line in self.lines().items() if line not in text or there.get(name) != access(wanted[name])]
        self.unwanted = [name for name in there if name not in wanted]

    def save(self):
        """Passwords first, then the running store, then the file it starts with, so that the next run sees an interruption."""
        fs.make_private_directory(self.params["secrets_directory"])
        if self.root_is_new:
            fs.write(self.administrator, (self.root + "\n").encode())
        for app in self.new:
            fs.write(self._path(app), (HEADER + self._line(app, self.new[app])).encode())
        rules = self.rules()
        for name in self.wrong:
            self.store.ask("ACL", "SETUSER", name, "reset", *rules[name])
        if self.unwanted:
            self.store.ask("ACL", "DELUSER", *self.unwanted)
        if not self.file_is_right():
            fs.write(self.acl, "".join(self.lines().values()).encode(), pwd.getpwnam(self.params["owner"]).pw_uid, mode=0o400)
        for app in self.removed:
            os.unlink(self._path(app))


def main():
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "apps": {"type": "list", "elements": "str", "required": True},
            "absent": {"type": "list", "elements": "str", "default": []},
            "commands": {"type": "list", "elements": "str", "required": True},
            "directory": {"type": "path", "required": True}, "socket": {"type": "path", "required": True},
            "secrets_directory": {"type": "path", "default": "/etc/flask-secrets", "no_log": False},
            "owner": {"type": "str", "default": "session-store"}, "unit": {"type": "str"},
        },
        supports_check_mode=True,
    )
    if not module.params["apps"] and not os.path.exists(module.params["directory"]):
        module.exit_json(changed=False, generated=[], removed=[])
    users = Users(module.params)
    try:
        users.compare()
        changed = bool(users.new or users.removed or users.wrong or users.unwanted or users.root_is_new
                       or not users.file_is_right())
        if changed and not module.check_mode:
            users.save()
        if module.params["unit"] and users.apps and users.store is None and not users.rejected:
            # On a new host the store waits for its users. One that runs has lost its socket.
            changed = True
            if not module.check_mode:
                module.run_command(["systemctl", "restart", module.params["unit"]], check_rc=True)
    except (OSError, Refused) as error:
        module.fail_json(msg=f"The users of the session store could not be changed: {error}")
    if users.rejected and not module.check_mode:
        module.fail_json(msg=f"The running store does not accept the password in {users.administrator}. Its files are right "
                             "now; `systemctl restart session-store` makes it read them.")
    module.exit_json(changed=changed, generated=list(users.new), removed=users.removed)


if __name__ == "__main__":
    main()
