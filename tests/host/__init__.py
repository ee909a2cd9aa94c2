"""The harness of tests that look at hosts; `host.plugin` is the pytest plugin."""
