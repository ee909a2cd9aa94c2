"""Run check_inputs on an inventory."""

import yaml
from ansible_collections.bulwark.flask.tests.unit import support

GOOD = {"domains": ["shop.example.com"], "source": {"git": "https://git.example.com/shop.git", "version": "main"},
        "wsgi": "shop:create_app()"}

PLAY = [{"hosts": "all", "gather_facts": False, "tasks": [{"bulwark.flask.check_inputs": None}]}]


def check(tmp_path, variables, play=PLAY, options=()):
    """Whether the inventory passes, and the message."""
    inventory = variables if isinstance(variables, str) else yaml.safe_dump({"all": {"hosts": {"web": None}, "vars": variables}})
    (tmp_path / "inventory.yml").write_text(inventory)
    (tmp_path / "play.yml").write_text(yaml.safe_dump(play))
    done = support.ansible_playbook(tmp_path, "-i", "inventory.yml", "play.yml", *options)
    return done.returncode == 0, done.stdout + done.stderr
