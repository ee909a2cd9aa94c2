"""A key of this run of Ansible, which imports this module once and forks a process for each task.

A digest with it tells arguments apart and does not reveal a secret among them to who reads the output.
"""

from __future__ import annotations

import secrets

RUN_KEY = secrets.token_hex(32)
