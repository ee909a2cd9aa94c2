"""Programs that run on the host: what the roles' records promise, and how to take all of it away.

Nothing is listed by hand. A role that writes its part of a host with host_part is covered by its record.
"""

# The parts, and the paths that other modules wrote.
RECORDS = r'''
import pwd, grp, shutil
STORE = "/var/lib/file_set"
PARTS = {os.path.basename(path)[:-5]: json.load(open(path)) for path in glob.glob(STORE + "/parts/*.json")}
PATHS = sorted({path for part in PARTS.values() for path in part["files"]} | set(json.load(open(STORE + "/managed.json"))))
# Several parts may name a unit. One without a promise is only restarted; one in a file of ours is promised when it is enabled.
UNITS = {}
for part in PARTS.values():
    for name, promise in part["units"].items():
        UNITS[name] = {key: value for wanted in (UNITS.get(name, {}), promise) for key, value in wanted.items() if value is not None}
for name in [path.split("/")[4] for path in PATHS if re.match(r"/etc/systemd/system/[^/@]+\.(service|socket|timer|path)$", path)]:
    if output("systemctl", "is-enabled", name) == b"enabled\n":
        UNITS.setdefault(name, {"enabled": True, "state": "started"})
USERS = {name: uid for part in PARTS.values() for name, uid in part["users"].items()}
VENVS = sorted({path for part in PARTS.values() for path in part["venvs"]})
APPS = [os.path.basename(os.path.dirname(path)) for path in glob.glob("/srv/*/releases")]

def sockets():
    """Sockets below /run and /srv that a unit of a record, or an instance, listens on."""
    found = set()
    for name in [*UNITS, *output("systemctl", "list-units", "--plain", "--no-legend", "gunicorn-*.socket").decode().split()]:
        if name.endswith(".socket"):
            found |= set(re.findall(r"(/\S+) \(Stream\)", output("systemctl", "show", "--property=Listen", name).decode()))
    found |= {path for path in glob.glob("/run/**/*.sock", recursive=True) if pwd.getpwuid(os.stat(path).st_uid)[0] in USERS}
    return sorted(found)
'''

# What is true of a host whose parts are as they should be. Numbers of accounts count: files keep their owners by number.
STATE = RECORDS + r'''
def state(path):
    try:
        found = os.lstat(path)
    except OSError:
        return None
    return [stat.S_IFMT(found.st_mode), found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)]

def unit(name, wanted):
    found = properties(name, "ActiveState")
    enabled = output("systemctl", "is-enabled", name).decode().strip()
    return [enabled if "enabled" in wanted else "", found["ActiveState"] if wanted.get("state") == "started" else ""]

def number(name):
    try:
        return pwd.getpwnam(name).pw_uid
    except KeyError:
        return None

print(json.dumps({
    "paths": {path: state(path) for path in PATHS},
    "users": {name: number(name) for name in USERS},
    "units": {name: unit(name, wanted) for name, wanted in UNITS.items()},
    "venvs": {path: os.path.exists(path + "/current/bin/python") for path in VENVS},
    "sockets": {path: state(path) for path in sockets()},
    "packages": {name: True for part in PARTS.values() for entry in part["packages"] for name in re.split(r"\s*\|\s*", entry)
                 if output("dpkg-query", "-W", "-f=${db:Status-Status}", name) == b"installed"},
}))
'''

REMOVE_SOCKETS = RECORDS + r'''
gone = [path for path in sockets() if os.path.exists(path)]
for path in gone:
    os.unlink(path)
print(json.dumps(gone))
'''

# Units are stopped, disabled and masked, accounts and files deleted. A directory of a Debian package stays, without ours in it.
TAKE_AWAY = RECORDS + r'''
def remove(path):
    if os.path.isdir(path) and not os.path.islink(path):
        if not output("dpkg-query", "-S", path):
            shutil.rmtree(path)
    elif os.path.lexists(path):
        os.unlink(path)

instances = output("systemctl", "list-units", "--plain", "--no-legend", "--all", "gunicorn-*").decode().split("\n")
output("systemctl", "stop", *[line.split()[0] for line in instances if line])
names = [name for name, wanted in UNITS.items() if wanted.get("enabled") or wanted.get("state") == "started"]
output("systemctl", "disable", "--now", *names)
for app in APPS:
    remove(os.path.realpath("/srv/%s/current" % app) + "/release/venv")
    os.unlink("/srv/%s/current" % app)
for path in [*reversed(PATHS), *VENVS, *GIVEN["more"]]:
    remove(path)
output("systemctl", "daemon-reload")
output("systemctl", "mask", *names)
for name in USERS:
    output("pkill", "-KILL", "-u", name)
    subprocess.run(["userdel", "--force", name], check=True, stderr=subprocess.DEVNULL)
subprocess.run(["apt-get", "-qq", "remove", *GIVEN["packages"]], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
               env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"})
print(json.dumps({"units": names, "paths": PATHS, "users": sorted(USERS)}))
'''
