"""What an inventory may say, and how an operator is told what is wrong with it. No Ansible imports.

`engine` compares variables with the roles' specifications, `entry` has the keys of an application's entry, `roles` the
rules of each role's variables, `cross` what several of them must agree on, and `primitives` what rules are made of.
Every check takes the place of a value, as the operator wrote it, and returns problems: texts that say what is wrong and
what would be right. No text repeats a value that may be a secret.
"""

from __future__ import annotations
