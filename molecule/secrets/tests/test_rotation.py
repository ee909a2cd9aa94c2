"""SECRET_KEY is replaced while users are signed in: sessions stay valid, and no request fails."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from host.client import SteadyClient
from host.leaks import GENERATED, tokens
from host.plugin import Server, Site
from rotation import STATE

# As if the keys had been replaced so many days ago.
BACK_DATE = r'''
import datetime
path = "/etc/flask-secrets/shop.generated.env"
then = (datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(days=GIVEN["days"])).strftime("%Y-%m-%dT%H:%M:%SZ")
text = open(path).read()
changed, times = re.subn(r"\d{4}-\d\d-\d\dT[0-9:]{8}Z", then, text)
with open(path, "r+") as stream:
    stream.write(changed)
print(json.dumps(times))
'''

# Whether something of a generated key's shape with this digest is anywhere a file can be.
ANYWHERE = r'''
import hashlib
shape, hits, searched = re.compile(rb"(?=(k[A-Za-z0-9_-]{64}))"), [], 0
def look(content, place):
    if any(hashlib.sha256(word).hexdigest() in GIVEN["digests"] for word in shape.findall(content)):
        hits.append(place)
for top in ("/etc", "/run", "/tmp", "/root", "/home", "/srv", "/var/lib", "/var/backups", "/var/tmp"):
    for folder, folders, files in os.walk(top):
        for name in files:
            path = os.path.join(folder, name)
            if os.path.isfile(path) and not os.path.islink(path) and os.path.getsize(path) < 1 << 20:
                searched += 1
                with open(path, "rb") as stream:
                    look(stream.read(), path)
look(output("journalctl", "--namespace=*", "--output=cat", "--no-pager"), "journal")
for pid in filter(str.isdigit, os.listdir("/proc")):
    try:
        with open("/proc/%s/environ" % pid, "rb") as stream:
            look(stream.read(), "environ of " + pid)
    except OSError:
        continue
print(json.dumps({"hits": hits, "searched": searched}))
'''


@dataclass
class Signed:
    """A client with a cart, which is only in the signed cookie."""

    site: Site
    cookie: str

    def is_known(self) -> bool:
        """Whether the shop still reads the cookie."""
        answer = self.site.get("/api/cart", headers={"Cookie": self.cookie})
        assert answer.status == 200
        return bool(json.loads(answer.body)["lines"])


def sign_in(site: Site) -> Signed:
    """Put a product into the cart, as a browser does."""
    page = site.get("/products/1")
    cookie = page["Set-Cookie"].split(";")[0]
    token = re.search(r'name="csrf_token"[^>]*value="([^"]+)"', page.body.decode())
    answer = site.get("/cart/1", method="POST", body=f"quantity=2&csrf_token={token[1]}".encode(), headers={
        "Cookie": cookie, "Content-Type": "application/x-www-form-urlencoded", "Referer": f"https://{site.domain}/products/1"})
    assert answer.status == 302, answer.status
    signed = Signed(site, answer["Set-Cookie"].split(";")[0])
    assert signed.is_known()
    return signed


def state(server: Server) -> Any:
    """Digests and instances, now."""
    return server.ask(STATE, apps=server.app_names)


@pytest.fixture(scope="session")
def story(play: Callable[..., Any], everywhere: Callable[..., Any]) -> dict[str, dict[str, Any]]:
    """By host: a rotation under load, one that is interrupted and repeated, and the end of the old keys."""
    observed = everywhere(lambda server: {"server": server, "shop": server.site("shop")})
    for record in observed.values():
        record |= {"first": sign_in(record["shop"]), "before": state(record["server"]), "client": SteadyClient(record["shop"])}
        record["client"].start()

    done = play("playbooks/rotate_secrets.yml", "-e", "app=shop")
    for record in observed.values():
        record["client"].stop()
        record |= {"rotation": done, "rotated": state(record["server"]), "first_stays": record["first"].is_known(),
                   "second": sign_in(record["shop"])}

    # The first half alone: the new key is written and the run ends, as when the connection is lost.
    half = play("molecule/secrets/first_half.yml")
    for record in observed.values():
        record |= {"half": half, "halfway": state(record["server"])}
    again = play("playbooks/rotate_secrets.yml", "-e", "app=shop")
    for record in observed.values():
        record |= {"again": again, "repeated": state(record["server"]), "third": sign_in(record["shop"])}
        record["both_stay"] = [record[name].is_known() for name in ("first", "second")]
        record["places"] = record["server"].ask(GENERATED, apps=record["server"].app_names)["hits"]
        record["dated"] = record["shop"].ask(BACK_DATE, days=40)

    other = play("playbooks/rotate_secrets.yml", "-e", "app=shop", "-e", "names=API_TOKEN,COLUMN_KEY")
    for record in observed.values():
        record |= {"other": other, "ended": state(record["server"])}
        record["at_the_end"] = [record[name].is_known() for name in ("first", "second", "third")]
    return observed


@pytest.fixture
def observed(server: Server, story: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """The story on one host."""
    return story[server.name]


def key(found: Any, where: str = "process") -> str:
    """The digest of the shop's key."""
    return found["apps"]["shop"][where]["FLASK_SECRET_KEY"]


def test_a_rotation_gives_the_application_another_key(observed: dict[str, Any]) -> None:
    assert observed["rotation"].rc == 0, observed["rotation"].output[-3000:]
    assert key(observed["rotated"]) == key(observed["rotated"], "file") != key(observed["before"])
    assert observed["rotated"]["apps"]["shop"]["old"][0] == key(observed["before"])


def test_sessions_stay_valid(observed: dict[str, Any]) -> None:
    assert observed["first_stays"]


def test_no_request_fails_while_a_key_is_rotated(observed: dict[str, Any]) -> None:
    assert observed["client"].failures == []
    assert observed["client"].answers >= 10


def test_a_rotation_restarts_only_the_instances_that_use_the_key(observed: dict[str, Any]) -> None:
    before, after = observed["before"], observed["rotated"]
    assert before["apps"]["shop"]["instance"] != after["apps"]["shop"]["instance"]
    assert before["apps"]["notes"] == after["apps"]["notes"]
    assert before["nginx"] == after["nginx"]


def test_a_repeated_rotation_goes_on_where_the_first_was_interrupted(observed: dict[str, Any]) -> None:
    assert observed["half"].rc == 0, observed["half"].output[-3000:]
    assert key(observed["halfway"], "file") != key(observed["halfway"]) == key(observed["rotated"]), "this was no interruption"
    assert observed["again"].rc == 0, observed["again"].output[-3000:]
    assert key(observed["repeated"]) == key(observed["halfway"], "file"), "it rotated twice"


def test_two_rotations_keep_both_old_keys(observed: dict[str, Any]) -> None:
    assert observed["repeated"]["apps"]["shop"]["old"][:2] == [key(observed["rotated"]), key(observed["before"])]
    assert observed["both_stay"] == [True, True]


def test_old_keys_are_dropped_after_their_time(observed: dict[str, Any]) -> None:
    assert observed["dated"] >= 2
    assert observed["ended"]["apps"]["shop"]["old"] == []
    assert observed["at_the_end"] == [False, False, True]
    assert key(observed["ended"]) == key(observed["repeated"])


def test_other_secrets_rotate_by_name(observed: dict[str, Any]) -> None:
    assert observed["other"].rc == 0, observed["other"].output[-3000:]
    before, after = (observed[name]["apps"]["shop"]["process"] for name in ("repeated", "ended"))
    assert {name for name in before if name in after and before[name] != after[name]} == {"API_TOKEN", "COLUMN_KEY"}


def test_new_and_old_values_are_only_in_their_file_and_their_process(observed: dict[str, Any]) -> None:
    labels = set(observed["places"])
    assert {"shop FLASK_SECRET_KEY 0", "shop FLASK_SECRET_KEY_FALLBACKS 0", "shop FLASK_SECRET_KEY_FALLBACKS 1"} <= labels
    assert {"shop API_TOKEN 0", "shop COLUMN_KEY 0", "notes FLASK_SECRET_KEY 0"} <= labels
    for label, hits in observed["places"].items():
        app = label.split(" ")[0]
        assert hits == [f"/etc/flask-secrets/{app}.generated.env", f"environ of {app}"], label


def test_a_dropped_key_is_nowhere(observed: dict[str, Any]) -> None:
    found = observed["server"].ask(ANYWHERE, digests=[key(observed["before"]), key(observed["rotated"])])
    assert found["searched"] > 100
    assert found["hits"] == []
    assert observed["server"].ask(ANYWHERE, digests=[key(observed["ended"])])["hits"], "the search finds nothing at all"


def test_no_key_is_printed(observed: dict[str, Any], printed: Callable[[], bytes]) -> None:
    keys = [observed[name]["apps"]["shop"][where].values() for name in ("before", "rotated", "halfway", "repeated", "ended")
            for where in ("file", "process")]
    assert not tokens(printed()) & {digest for digests in keys for digest in digests}
