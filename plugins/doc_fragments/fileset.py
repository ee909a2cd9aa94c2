"""Options of every module that writes a set of files."""

from __future__ import annotations


class ModuleDocFragment:
    """The files, and the directories that a set owns."""

    DOCUMENTATION = r"""
options:
  files:
    description:
      - The set, in order. Each entry has O(files[].dest) and exactly one of O(files[].template),
        O(files[].content), O(files[].link) and O(files[].state).
      - The directory of an entry must exist, or be listed before it with V(directory).
    type: list
    elements: dict
    suboptions:
      dest:
        description: Absolute path on the host. A link found there is replaced, never followed.
        type: str
        required: true
      template:
        description:
          - Template to render, found like the O(ansible.builtin.template#module:src) of
            M(ansible.builtin.template), and rendered with the same settings. An absolute path serves
            for a template that extends one of a role.
        type: str
      content:
        description: The text of the file. It is written as it is, without a newline added.
        type: str
      link:
        description: Makes O(files[].dest) a symbolic link to this target.
        type: str
      state:
        description:
          - V(directory) makes a directory, or gives an existing one its owner and mode. A link to a
            directory made by root is kept and its target used.
          - V(absent) removes a file, a link, or a directory that is empty.
        type: str
        choices: [directory, absent]
      owner:
        description: Owner of the file, a name or a number.
        type: str
        default: root
      group:
        description: Group of the file, a name or a number.
        type: str
        default: root
      mode:
        description:
          - Mode as a quoted octal number. Without it V(0755) for a directory, V(0600) for a file that
            is O(files[].sensitive), and V(0644) for any other.
        type: str
      sensitive:
        description: Keeps the contents out of the diff and out of the output of commands.
        type: bool
        default: false
      backup:
        description:
          - Keeps the file that is replaced as C(<dest>.orig), once, if neither this module has
            written it nor such a copy exists. Never done for a O(files[].sensitive) file.
        type: bool
        default: false
      vars:
        description: Variables for this template alone.
        type: dict
        default: {}
  _contents:
    description: The rendered contents of O(files). The action plugin sets it.
    type: str
"""

    PURGE = r"""
options:
  purge:
    description:
      - Directories that the set owns. Files and links in them that match and are not in O(files) are
        removed; directories and what is below them are left alone.
    type: list
    elements: dict
    default: []
    suboptions:
      path:
        description: The directory. It need not exist.
        type: str
        required: true
      patterns:
        description:
          - Shell patterns for names. A hidden file is matched only by a pattern that begins with a dot. Empty only with
            O(purge[].remove_empty).
        type: list
        elements: str
        required: true
      remove_empty:
        description:
          - Removes the directory too, when an earlier run created it, O(files) has neither it nor anything in it, and nothing is
            left in it. Name a directory before the one that contains it.
        type: bool
        default: false
"""
