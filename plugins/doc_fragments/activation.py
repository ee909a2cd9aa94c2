"""Options of every module that makes a release live."""

from __future__ import annotations


class ModuleDocFragment:
    """The shared part of their documentation."""

    DOCUMENTATION = r"""
options:
  unit:
    description: Name of the systemd unit template without C(@); C(gunicorn-<name>) by default.
    type: str
  wsgi:
    description: What the server imports, C(module:variable) or C(module:factory(\)); inspected before the
      release goes live, and C(FLASK_APP) of the commands.
    type: str
    default: ""
  domains:
    description: The application's domains. The first is the Host header of the health request.
    type: list
    elements: str
    default: [localhost]
  body_max_mb:
    description: The largest request body the web server lets pass, in MiB; the application's own limit is
      compared with it.
    type: int
    default: 16
  restart_on_change:
    description: Files whose change asks for a new instance.
    type: list
    elements: path
    default: []
  policy:
    description:
      - What the inspection before the switch does with what it finds. C(mode) is V(enforce), V(warn) or
        V(off); C(checks) has a mode for single checks; C(waivers) is a list of mappings with C(check),
        C(reason) and C(until); C(csrf) names another protection than Flask-WTF's; C(proxies) is the number
        of proxies in front of the application.
    type: dict
    default: {}
  bandit:
    description: Program for the static pass over the source. Without it there is none.
    type: path
  prepare:
    description: Commands that run once before the application is imported, for what a first start needs, as the application in
      its sandbox with its environment; the first that fails ends the deploy.
    type: list
    elements: str
    default: []
  pre_activate:
    description: Commands that run once before a new release serves, as the application in its sandbox with
      its environment; the first that fails ends the deploy.
    type: list
    elements: str
    default: []
  post_activate:
    description: Commands that run after the switch; a failure is a warning.
    type: list
    elements: str
    default: []
  command_timeout_seconds:
    description: How long one of these commands may take.
    type: int
    default: 600
  health_path:
    description: Path that is asked before the switch.
    type: str
    default: /
  health_status:
    description: Status that is expected. 0 accepts everything below 500.
    type: int
    default: 0
  health_timeout_seconds:
    description: How long a new instance may take until it answers well.
    type: int
    default: 60
  warm_up:
    description: Paths that are asked, eight times each, between the health check and the switch.
    type: list
    elements: str
    default: []
  drain_seconds:
    description: How long requests in flight may take before the old instance is stopped.
    type: int
    default: 30
  keep_releases:
    description: How many releases stay on disk. The live one and the way back always do.
    type: int
    default: 5
  shared:
    description: Paths below the application's directory that it writes to. They are kept in C(/var/lib/<name>/shared) and are the
      same in every release.
    type: list
    elements: str
    default: []
  fetch_pages:
    description: Fetch the front page and the pages it links to, 20 at most, once before the switch, and report their statuses.
    type: bool
    default: true
"""
