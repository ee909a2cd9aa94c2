"""The application that is deployed on each host, and the state a deploy leaves."""

from __future__ import annotations

from typing import Any

from host.plugin import Site

# The state of an application on a host: instances, units, links and files.
STATE = r'''
base = "/srv/" + GIVEN["app"]
unit = "gunicorn-%s@" % GIVEN["app"]
listed = output("systemctl", "list-units", "--all", "--plain", "--no-legend", unit + "*").decode().splitlines()
enabled = [os.path.basename(path) for path in glob.glob("/etc/systemd/system/*.wants/%s*" % unit)]
release = os.path.basename(os.path.realpath(base + "/current/release"))
releases = {}
for name in os.listdir(base + "/releases"):
    try:
        releases[name] = json.load(open("%s/releases/%s/status.json" % (base, name)))["state"]
    except FileNotFoundError:
        releases[name] = None
history = [json.loads(line) for line in open(base + "/history.jsonl")]
print(json.dumps({
    "release": release, "instance": os.path.basename(os.readlink(base + "/current")), "instances": os.listdir(base + "/instances"),
    "units": sorted(line.split()[0] for line in listed), "enabled": sorted(enabled),
    "left": glob.glob(base + "/.current*") + glob.glob(base + "/.running*") + glob.glob("/run/systemd/system/%s*" % unit),
    "releases": releases, "history": history, "unfinished": [name for name in releases if not name.startswith(".")
        and not os.path.exists("%s/releases/%s/manifest.json" % (base, name))]}))
'''


def sites(servers: list[Any]) -> list[Any]:
    """The one application of every host."""
    return [Site(server, server.target.apps[0]) for server in servers]


def version(site: Any) -> str:
    """The version that clients reach."""
    return site.get("/version").body.decode()


def at_rest(site: Any) -> dict[str, Any]:
    """The state of a host, on which nothing of a deploy is left."""
    state = site.ask(STATE)
    instance = state["instance"]
    unit = f"gunicorn-{site.name}@{instance}"
    assert state["instances"] == [instance]
    assert state["units"] == [f"{unit}.service", f"{unit}.socket"]
    assert state["enabled"] == [f"{unit}.service", f"{unit}.socket"]
    assert state["left"] == []
    assert state["unfinished"] == []
    return state
