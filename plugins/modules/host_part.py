#!/usr/bin/python
"""Install, write and run one part of a host."""

from __future__ import annotations

DOCUMENTATION = r"""
module: host_part
short_description: Install, write and run one part of a host, in one call
version_added: "0.1.0"
description:
  - A part is what one role has on a host, packages, accounts, directories, files and units. Each run looks at all of
    them, so what was removed, changed, stopped, disabled or masked by hand comes back, and check mode says so.
  - The order is packages, virtual environments, files and their validation, accounts, directories, the limit of disk space, systemd's
    configuration, O(apply), units.
    Files are written as M(bulwark.flask.file_set) writes them. When a step after the validation fails, the next run
    makes up for it, restarts included.
  - A file of the set below C(/etc/sysusers.d) or C(/etc/tmpfiles.d) is in effect after each run. The accounts and paths
    that it names are looked at in every run and made again when they are missing or have another owner or mode. An
    account that was deleted gets the number that it had.
  - An account of C(/etc/sysusers.d) that exists and was not made by this module is refused before anything is changed. A
    service never takes over the account of a person or of another program.
  - A file that exists and was not written by this collection is not replaced, unless its entry has C(backup), or a Debian
    package has installed it and it is unmodified.
options:
  _digest:
    description: A digest of the arguments, under which the host keeps them. The action plugin sets it.
    type: str
  name:
    description: Name of the part, unique on the host. Its files and units are recorded in C(<state_dir>/parts/<name>.json).
    type: str
    required: true
  requires:
    description:
      - Paths that other roles make, each with what makes it. When one is missing, nothing is changed. Check mode does not
        look at them, because an earlier task may have predicted them.
    type: dict
    default: {}
  packages:
    description:
      - Debian packages that are installed when missing, without what they recommend. V(a | b) is satisfied by
        each of the two; the first is installed where neither is.
      - Waits up to five minutes for another process that uses apt or dpkg. An interrupted run of dpkg is finished first.
    type: list
    elements: str
    default: []
  packages_absent:
    description: Packages that are removed; one that others need, or whose service is active, is kept and named in RV(kept).
    type: list
    elements: str
    default: []
  remove_active:
    description: Whether a package of O(packages_absent) is removed while its service is active.
    type: bool
    default: false
  start_services:
    description: Whether a package may start its services while it is installed.
    type: bool
    default: true
  venvs:
    description:
      - Virtual environments, each installed from a lock file with a hash for everything. The link C(<path>/current) is the
        one in use; the one before stays, so that what runs from it goes on. Needs python3-venv.
    type: list
    elements: dict
    default: []
    suboptions:
      path:
        description: Directory of the tool.
        type: path
        required: true
      requirements:
        description: Text of the lock file.
        type: str
        required: true
      program:
        description: Program of the venv that must print its version before the link moves to the venv.
        type: str
        default: ""
      python:
        description: Interpreter of the venv; a link is followed to the versioned name.
        type: path
        default: /usr/bin/python3
      ca_bundle:
        description: Certificates that are trusted while downloading.
        type: path
        default: /etc/ssl/certs/ca-certificates.crt
      index_url:
        description: Package index; empty means PyPI. A password belongs into root's C(.netrc) on the host.
        type: str
        default: ""
  files:
    default: []
  validate:
    description: Commands that validate the files, as O(bulwark.flask.file_set#module:validate).
    type: list
    elements: list
    default: []
  apply:
    description: Commands that apply a change of files, in addition to O(units), as O(bulwark.flask.file_set#module:apply).
    type: list
    elements: list
    default: []
  units:
    description:
      - Units of systemd by their full name, in the order in which they are started. Each has the keys C(enabled),
        C(state), C(restart_on), C(reload_on), C(paths) and C(ports); what is left out is not looked at.
      - C(enabled) is V(true) or V(false). C(state) is V(started), V(stopped) or V(absent), which stops the unit and
        removes its file below C(/etc/systemd/system) and the links to it.
      - A unit that runs is restarted when its own file or a drop-in of it changed, or a path that matches a shell pattern
        of C(restart_on); it is reloaded when one of C(reload_on) did. It is restarted too when systemd has not read its
        files since they changed, or when the path of its socket was deleted.
      - C(paths) exist while the unit runs, such as the socket of a service. It is restarted when one was deleted.
      - C(ports) are TCP ports that the unit listens on. If another program has one of them, nothing is changed.
      - A unit that does not start and was not enabled before is disabled again.
    type: dict
    default: {}
  disk_limit:
    description:
      - Limit of the disk space and inodes of one account's directories, by a project quota. The number of the project is that of
        the account. Nothing happens on a file system that does not enforce project quotas.
      - A limit that was changed or removed by hand comes back. A number that something else uses is not taken.
    type: dict
    suboptions:
      account:
        description: Account whose directories they are.
        type: str
        required: true
      paths:
        description:
          - Directories that count. The first decides on the file system, and is made when it is missing and gets a limit. Others count
            if they belong to the account and are on the same file system.
        type: list
        elements: str
        required: true
      max_mb:
        description:
          - Maximum space in MiB, and 64 inodes for each. Fails where it cannot be set.
          - V(-1) is the space in use and 80 % of what is free, computed when the limit is set first and when the file system
            gets another size. A directory with a file system of its own gets no limit. V(0) is no limit.
        type: int
        default: -1
      variable:
        description: Name of the variable with the maximum, for messages.
        type: str
        required: true
      files:
        description: Entries of O(files) that are for a limit. Where there is none, they are left out; O(purge) removes them.
        type: list
        elements: path
        default: []
  settings:
    description:
      - What must be in effect besides files and units. It is set last. What cannot be set, because the kernel has no such setting or a container
        may not change it, is no failure but a sentence in RV(refused). A service that does not start fails the task, except in a container
        or where a condition of its unit is not met.
    type: dict
    suboptions:
      sysctl:
        description:
          - Values of kernel settings by name, set in the running kernel; a file of O(files) has them for the next boot. A C(*) in a name stands
            for every interface; a name in full has precedence over one with a star.
        type: dict
        default: {}
      own_file:
        description: Name of that file in C(sysctl.d). Settings of files that are read after it are kept and reported.
        type: str
        required: true
      mounts:
        description: Options by mount point.
        type: dict
        default: {}
      mounts_unit:
        description: The unit that sets them. It is restarted when an option is missing.
        type: str
        default: ""
      running:
        description: By purpose, units of which one must be enabled and active. Where none is, the first that is installed is started.
        type: dict
        default: {}
      apparmor:
        description: Whether the kernel must have AppArmor on.
        type: bool
        default: false
      accounts:
        description: Whether to look at accounts. Further ones with user id 0, and those without a password, are reported and not changed.
        type: bool
        default: false
  packaged_absent:
    description:
      - Configuration files of Debian packages, or links to them, that are removed while they are as the package installed them.
      - One that was changed stays, and is named in a warning.
    type: list
    elements: path
    default: []
  nginx_variables:
    description:
      - Variables that change a directive of nginx in O(files), by the name of the directive. When it is not empty, the module fails before
        the first file is written, in check mode too, and names everything in files of others that nginx would refuse beside O(files) - a directive
        that is there twice, a second default server of an address.
    type: dict
    default: {}
  state_dir:
    description: Directory on the host, accessible to root only, for journals and records.
    type: path
    default: /var/lib/file_set
extends_documentation_fragment:
  - bulwark.flask.fileset
  - bulwark.flask.fileset.purge
attributes:
  check_mode:
    description: Predicts all changes, writes and runs nothing.
    support: full
  diff_mode:
    description: Shows files as M(bulwark.flask.file_set) does, and packages, accounts, paths and units as lines of text.
    support: full
author:
  - The bulwark.flask authors (@bulwark)
"""

EXAMPLES = r"""
- name: Install, configure and run a cache
  bulwark.flask.host_part:
    name: page_cache
    packages: [valkey-tools]
    files:
      - {dest: /etc/sysusers.d/page-cache.conf, template: sysusers.conf.j2}
      - {dest: /etc/page-cache, state: directory}
      - {dest: /etc/page-cache/page-cache.conf, template: page-cache.conf.j2}
      - {dest: /etc/systemd/system/page-cache.service, template: page-cache.service.j2}
    units:
      page-cache.service: {enabled: true, state: started, restart_on: [/etc/page-cache/*], paths: [/run/page-cache/page-cache.sock]}

- name: Write a site
  bulwark.flask.host_part:
    name: site-shop
    requires: {/etc/nginx/nginx.conf: install nginx first}
    files:
      - {dest: /etc/nginx/sites-enabled/shop.conf, template: site.conf.j2}
    validate:
      - [nginx, -t]
    units:
      nginx.service: {state: started, reload_on: ["*"]}
"""

RETURN = r"""
changed_files:
  description: Paths that were changed, or would be in check mode; purged ones included.
  type: list
  elements: str
  returned: always
installed:
  description: Packages that were or would be installed.
  type: list
  elements: str
  returned: always
removed:
  description: Packages that were or would be removed.
  type: list
  elements: str
  returned: always
kept:
  description: For each unwanted package that is kept, a sentence with the reason.
  type: list
  elements: str
  returned: always
set:
  description: Kernel settings and mounts that were or would be set, and units that were or would be started, of O(settings).
  type: list
  elements: str
  returned: always
refused:
  description: For each of O(settings) that is not in effect, a sentence with the reason.
  type: list
  elements: str
  returned: always
venvs:
  description: Paths of virtual environments that were or would be built.
  type: list
  elements: str
  returned: always
accounts:
  description: Users, groups and memberships that were or would be made.
  type: list
  elements: str
  returned: always
directories:
  description: Paths of C(/etc/tmpfiles.d) that were or would be made or corrected.
  type: list
  elements: str
  returned: always
limits:
  description: Limits of disk space that were or would be set or removed.
  type: list
  elements: str
  returned: always
steps:
  description: Commands of systemctl that ran, or would run.
  type: list
  elements: str
  returned: always
applied:
  description: Commands of O(apply) that ran and succeeded.
  type: list
  elements: list
  returned: always
validated:
  description: Whether commands of O(validate) ran and succeeded.
  type: bool
  returned: always
backup_files:
  description: Copies of foreign files that were made.
  type: list
  elements: str
  returned: always
"""

import re
from contextlib import suppress

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.bulwark.flask.plugins.module_utils.fileset.plan import clear_error
from ansible_collections.bulwark.flask.plugins.module_utils.fileset.session import SPEC
from ansible_collections.bulwark.flask.plugins.module_utils.host_part import disk_limit, remembered, units
from ansible_collections.bulwark.flask.plugins.module_utils.host_part.part import Part


class RememberedPart(Part):
    """A part that keeps its arguments on the host when it is in effect."""

    def execute(self) -> None:
        """Install, write, run and remember the part."""
        super().execute()
        with suppress(OSError):  # a part that is not remembered is called by every run
            remembered.remember(self.store.folder, self.module.params)


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            **SPEC, "files": {**SPEC["files"], "default": []},
            "name": {"type": "str", "required": True},
            # Of the arguments, by the action plugin. With a secret among them, it could be guessed from the digest.
            "_digest": {"type": "str", "no_log": True},
            "requires": {"type": "dict", "default": {}},
            "packages": {"type": "list", "elements": "str", "default": []},
            "packages_absent": {"type": "list", "elements": "str", "default": []},
            "remove_active": {"type": "bool", "default": False},
            "start_services": {"type": "bool", "default": True},
            "venvs": {"type": "list", "elements": "dict", "default": [], "options": {
                "path": {"type": "path", "required": True},
                "requirements": {"type": "str", "required": True},
                "program": {"type": "str", "default": ""},
                "python": {"type": "path", "default": "/usr/bin/python3"},
                "ca_bundle": {"type": "path", "default": "/etc/ssl/certs/ca-certificates.crt"},
                "index_url": {"type": "str", "default": ""},
            }},
            "units": {"type": "dict", "default": {}},
            "nginx_variables": {"type": "dict", "default": {}},
            "settings": {"type": "dict", "options": {
                "sysctl": {"type": "dict", "default": {}},
                "own_file": {"type": "str", "required": True},
                "mounts": {"type": "dict", "default": {}},
                "mounts_unit": {"type": "str", "default": ""},
                "running": {"type": "dict", "default": {}},
                "apparmor": {"type": "bool", "default": False},
                "accounts": {"type": "bool", "default": False},
            }},
            "packaged_absent": {"type": "list", "elements": "path", "default": []},
            "disk_limit": {"type": "dict", "options": {
                "account": {"type": "str", "required": True},
                "paths": {"type": "list", "elements": "str", "required": True},
                "max_mb": {"type": "int", "default": disk_limit.COMPUTED},
                "variable": {"type": "str", "required": True},
                "files": {"type": "list", "elements": "path", "default": []},
            }},
        },
        supports_check_mode=True,
    )
    if not re.fullmatch(r"\w[\w.@-]*", module.params["name"]):
        module.fail_json(msg="name must be letters, digits, _, -, . and @, such as session_store or site-shop")
    try:
        wanted = units.wanted_of(module.params["units"])
    except ValueError as error:
        module.fail_json(msg=f"Nothing was changed, because:\n{error}")
    try:
        part = RememberedPart(module, wanted)
    except OSError as error:
        module.fail_json(msg=f"Nothing was changed. {clear_error(error, module.params['state_dir'])}")
    part.finish()


if __name__ == "__main__":
    main()
