"""Documentation of the options that the modules release and release_switch share."""

from __future__ import annotations


class ModuleDocFragment:
    """The options of a release; module_utils/release/options.py has them as a dataclass."""

    DOCUMENTATION = r"""
options:
  options:
    description: Options of releases and their activation. The role app_release has the defaults.
    type: dict
    required: true
    suboptions:
      base:
        description: >-
          Where releases and instances are, such as F(/srv/shop).
        type: path
        required: true
      unit:
        description: >-
          Name of the systemd unit template without C(@), such as V(gunicorn-shop).
        type: str
        required: true
      subdirectory:
        description: >-
          Directory below the source that holds the application and names its dependencies; empty for the source itself.
        type: str
        required: true
      wsgi:
        description: >-
          What the server imports, C(module:variable) or C(module:factory(\)); also C(FLASK_APP) of the commands.
        type: str
        required: true
      shared:
        description: >-
          Paths below the application's directory that it writes to. They are kept in C(/var/lib/<name>/shared) and are the same in every
          release.
        type: list
        elements: str
        required: true
      files:
        description: >-
          Paths below the application's directory that are links to C(/run/flask-files/<name>), which systemd passes to the unit. Path to
          name.
        type: dict
        required: true
      static:
        description: >-
          URL prefix to directory with files the web server serves itself. The directory is looked for below the subdirectory, then below
          the source; for a package below site-packages.
        type: dict
        required: true
      build:
        description: >-
          Commands that run in the build, after the dependencies are installed.
        type: list
        elements: str
        required: true
      requirements:
        description: >-
          File that names the dependencies. V(auto) takes the first of F(uv.lock), F(pylock.toml), F(requirements.txt) and
          F(pyproject.toml). Hashes are enforced wherever the file has them. A project whose F(pyproject.toml) has a C([build-system]) is
          installed itself too.
        type: str
        required: true
      extras:
        description: Extras of the project that are installed too.
        type: list
        elements: str
        required: true
      groups:
        description: Groups of dependencies that are installed too.
        type: list
        elements: str
        required: true
      gunicorn_requirements:
        description: >-
          Text of a hash-locked requirements file that pins gunicorn; installed last. Empty leaves gunicorn to the project.
        type: str
        required: true
      uv:
        description: >-
          Path of uv on the host.
        type: str
        required: true
      python:
        description: >-
          Interpreter the venv is made with, as a path, or as a version that the host has.
        type: str
        required: true
      python_packages:
        description: Python packages that are installed in addition, each a name with a version or without.
        type: list
        elements: str
        required: true
      index_url:
        description: >-
          Package index; empty means PyPI. With F(uv.lock), the locked names and hashes are installed from here.
        type: str
        required: true
      credentials_for_builds:
        description: Whether code of packages and of the project may read the credentials while it is built.
        type: bool
        required: true
      extra_index_urls:
        description: Package indexes that come before O(options.index_url). A package is taken from the first that has it.
        type: list
        elements: str
        required: true
      ca_bundle:
        description: >-
          Certificates trusted while downloading.
        type: str
        required: true
      build_timeout_seconds:
        description: >-
          A build that takes longer is ended.
        type: int
        required: true
      domains:
        description: >-
          The application's domains. The first is the Host header of the health check.
        type: list
        elements: str
        required: true
      body_max_mb:
        description: >-
          The largest request body the web server lets pass, in MiB; the inspection compares it with the application's own limit.
        type: int
        required: true
      policy:
        description: >-
          The policy of the inspection. C(mode) is V(enforce), V(warn) or V(off); C(checks) has a mode for single checks;
          C(waivers) is a list of mappings with C(check), C(reason) and C(until); C(csrf) names another protection than Flask-WTF's;
          C(proxies) is the number of proxies in front of the application.
        type: dict
        required: true
      bandit:
        description: >-
          Program for the static analysis of the source; empty for none.
        type: str
        required: true
      prepare_once:
        description: >-
          Commands that run before the application is imported, for what a first start needs, as the application in its sandbox with its
          environment. One that has succeeded does not run for later releases; the first that fails ends the deploy.
        type: list
        elements: str
        required: true
      prepare:
        description: >-
          Commands that run in the same way before each new release is imported.
        type: list
        elements: str
        required: true
      pre_activate:
        description: >-
          Commands that run once before a new release serves, as the application in its sandbox with its environment; the first that fails
          ends the deploy.
        type: list
        elements: str
        required: true
      post_activate:
        description: >-
          Commands that run after the switch; a failure is a warning.
        type: list
        elements: str
        required: true
      command_timeout_seconds:
        description: >-
          How long one of these commands may take.
        type: int
        required: true
      inspection_timeout_seconds:
        description: >-
          How long the inspection may take.
        type: int
        required: true
      restart_on_change:
        description: >-
          Files whose change requires a new instance of the same release.
        type: list
        elements: str
        required: true
      health_path:
        description: >-
          Path of the health check before the switch.
        type: str
        required: true
      health_status:
        description: >-
          Status that is expected. 0 accepts every status below 500.
        type: int
        required: true
      health_timeout_seconds:
        description: >-
          How long a new instance may take until it passes its health check.
        type: int
        required: true
      warm_up:
        description: >-
          Paths that are requested, eight times each, between the health check and the switch.
        type: list
        elements: str
        required: true
      fetch_pages:
        description: >-
          Fetch the front page and the pages it links to, 20 at most, once before the switch, and report their statuses.
        type: bool
        required: true
      drain_seconds:
        description: >-
          How long requests in flight may take before the old instance is stopped.
        type: int
        required: true
      keep_releases:
        description: >-
          How many releases stay on disk. The live one and the rollback target always do.
        type: int
        required: true
"""
