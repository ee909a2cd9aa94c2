"""Rules of the inventory, and messages about problems. No Ansible imports.

`engine` compares variables with the roles' specifications, `entry` has the keys of an application's entry, `roles` the
rules of each role's variables, `cross` the rules between variables, and `primitives` the building blocks of rules.
Every check takes the name of a value, as the operator wrote it, and returns problems: texts with the problem and the
correction. No text repeats a value that may be a secret.
"""

from __future__ import annotations
