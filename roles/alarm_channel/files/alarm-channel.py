#!/usr/bin/python3 -IB
"""Alerts of this host: `alarm-channel check | deliver | send | status`.

Owned by the role alarm_channel. The program is the package in /usr/local/lib/alarm-channel.
"""

import sys

sys.path.insert(0, "/usr/local/lib/alarm-channel")

from alarm_channel.commands import main

sys.exit(main())
