"""Alerts of a host. commands.py lists what the program does.

An alert has a key. Functions of checks.py and certificates.py yield current alerts as (key, severity, text), append what they
measure to a list, and raise an exception when they cannot check.
"""

ACCOUNT = "alarm-channel"
# Seconds for another program or a server.
TIMEOUT = 20
