"""Headers that the application accepts from the proxy in front of it.

nginx sends the client's address and the scheme, one value each, and removes every other header of a proxy.
"""

from __future__ import annotations

import re
from typing import Any, Iterable

from ansible_collections.bulwark.flask.plugins.module_utils.preflight.inspector.model import Seen, check
from ansible_collections.bulwark.flask.plugins.module_utils.preflight.inspector.source import listed

HOSTS = "{hosts}"  # stands for the names below, which differ from one application to the next


def served(domains: Iterable[str]) -> list[str]:
    """The names under which requests reach the application, as TRUSTED_HOSTS has them: the first, and wildcards. nginx
    redirects the others."""
    return [name.lower().lstrip("*") for number, name in enumerate(domains) if not number or name.startswith("*.")]


@check("ProxyFix takes one address and one scheme, and nothing else", "warning",
       "with another number of hops, every client has the proxy's address, or links begin with http:",
       "app.wsgi_app = ProxyFix(app.wsgi_app, x_for={proxies}, x_proto={proxies}, x_host=0, x_port=0, x_prefix=0)")
def proxy_hops(subject: Any) -> Seen:
    from werkzeug.middleware.proxy_fix import ProxyFix

    proxies, fixes = subject.question.get("proxies", 1), [layer for layer in subject.layers if isinstance(layer, ProxyFix)]
    if not fixes:
        # gunicorn's configuration takes the address and the scheme from nginx by itself.
        if proxies and subject.deployment is None:
            yield "warning", "there is no ProxyFix: every client has the proxy's address, and links may begin with http:"
        return
    for fix in fixes:
        trusted = {name: getattr(fix, name) for name in ("x_for", "x_proto", "x_host", "x_port", "x_prefix")}
        for name, header in (("x_host", "Host"), ("x_port", "Port"), ("x_prefix", "Prefix")):
            if trusted[name]:
                yield "warning", f"{name}={trusted[name]}, but nginx sends no X-Forwarded-{header}; without nginx, clients choose it"
        for name in ("x_for", "x_proto"):
            if trusted[name] > proxies:
                yield "warning", f"{name}={trusted[name]} trusts more than the {proxies} proxies there are"
            elif trusted[name] < proxies:
                yield "warning", f"{name}={trusted[name]} is less than the {proxies} proxies there are"
    if len(fixes) > 1:
        yield "warning", f"there are {len(fixes)} ProxyFix, one around the other", "keep one"


@check("TRUSTED_HOSTS have the domains that lead to the application", "error",
       "clients get 400 under a domain that is left out; nginx refuses foreign names already",
       "config: {TRUSTED_HOSTS: {hosts}}", ("TRUSTED_HOSTS", HOSTS))
def trusted_hosts(subject: Any) -> Seen:
    trusted = subject.config.get("TRUSTED_HOSTS")
    if trusted and subject.flask_numbers < (3, 1, 0):
        yield "warning", f"Flask {subject.flask} does not read TRUSTED_HOSTS", "flask>=3.1.1"
        return
    trusted = trusted or getattr(subject.app.request_class, "trusted_hosts", None)
    if not trusted:
        yield "warning", "TRUSTED_HOSTS is not set"
        return
    if not isinstance(trusted, (list, tuple, set, frozenset)) or not all(isinstance(host, str) for host in trusted):
        yield "error", f"{subject.kind_of_setting('TRUSTED_HOSTS')}, which must be a list of names: all clients get 400"
        return
    names = [_hostname(host) for host in trusted]
    missing = [d for d in served(subject.domains) if not any(d == n or n.startswith(".") and (d.endswith(n) or d == n[1:]) for n in names)]
    if missing:
        yield "error", f"clients get 400 under {listed(missing)}, which TRUSTED_HOSTS leaves out"
    others = [n for n in names if n not in subject.domains + served(subject.domains)]
    if others:
        yield "warning", f"TRUSTED_HOSTS also has {listed(others)}"


def _hostname(host: str) -> str:
    return host.lower().rsplit(":", 1)[0] if re.search(r":\d+$", host) else host.lower()
