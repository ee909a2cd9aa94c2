"""Options and fixtures of all tests that look at hosts."""

pytest_plugins = ["host.plugin"]
