#!/usr/bin/env python3
"""Write the demo's inventory, or print its address and the next commands.

    demo.py inventory [SET]      build/demo/inventory.yml, in the form an operator writes; or another set's of hosts
    demo.py summary              what is served, by which certificate and release, and what to try next
"""

from __future__ import annotations

import http.client
import json
import socket
import ssl
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
DEMO = ROOT / "build" / "demo"
INVENTORY = """\
# The demo's inventory, as an operator writes it, with the address of the demo's host.
all:
  hosts:
    demo:
      ansible_host: {address}
      ansible_user: root
      ansible_ssh_private_key_file: {folder}/id_ed25519
      ansible_ssh_common_args: -o UserKnownHostsFile={folder}/known_hosts
  vars:
    acme_cert_email: ops@demo.localhost
    acme_cert_directory_url: https://pebble:14000/dir
    acme_cert_ca_bundle: /usr/local/share/acme-listener.pem
    pip_audit_osv_url: http://pebble:8000/clean/v1/query
    flask_apps:
      demo:
        domains: [demo.localhost]
        source: {{path: {root}/examples/shop}}
        wsgi: "shop:create_app()"
        env: {{FLASK_TRUSTED_HOSTS: [demo.localhost]}}
        static: {{/static/: shop/static}}
        session_store: true
        health_path: /healthz
        body_max_mb: 1
        nginx_site: {{redirect_port: 8443}}
"""


def write_inventory(name: str) -> None:
    """The inventory of the running host."""
    folder = ROOT / "build" / name
    address = (folder / "web.address").read_text(encoding="utf-8")
    (folder / "inventory.yml").write_text(INVENTORY.format(address=address, folder=folder, root=ROOT), encoding="utf-8")


def on_host(command: str) -> str:
    """Run a command on the demo's host over SSH."""
    address = (DEMO / "web.address").read_text(encoding="utf-8")
    return subprocess.run(["ssh", "-i", str(DEMO / "id_ed25519"), "-o", f"UserKnownHostsFile={DEMO}/known_hosts",
                           f"root@{address}", command], capture_output=True, text=True, check=True).stdout.strip()


def summary() -> None:
    """Print the address and the next commands."""
    context = ssl.create_default_context(cafile=str(DEMO / "ca.pem"))
    with socket.create_connection(("127.0.0.1", 8443), timeout=10) as raw, \
            context.wrap_socket(raw, server_hostname="demo.localhost") as tls:
        certificate, version = tls.getpeercert() or {}, tls.version()
        tls.sendall(b"GET / HTTP/1.1\r\nHost: demo.localhost\r\nConnection: close\r\n\r\n")
        answer = http.client.HTTPResponse(tls)
        answer.begin()
    issuer = dict(part[0] for part in certificate["issuer"])
    manifest = json.loads(on_host("cat /srv/demo/current/release/manifest.json"))
    units = on_host("systemctl is-active nginx 'gunicorn-demo@*.service' 'acme-cert-renew@demo.timer' cron")
    print(f"""
  site         https://demo.localhost:8443   status {answer.status}, {version}
  redirect     http://demo.localhost:8080 leads there
  certificate  {issuer.get('commonName')}, until {certificate['notAfter']}
  release      {manifest['release']} (Python {manifest['python']}, {manifest['requirements']})
  services     nginx, gunicorn, renewal timer, cron: {', '.join(units.split())}

  Try next:
    curl --cacert build/demo/ca.pem https://demo.localhost:8443/
    ssh -i build/demo/id_ed25519 -o UserKnownHostsFile=build/demo/known_hosts root@{(DEMO / 'web.address').read_text()} journalctl --namespace=demo
    make demo          again: nothing changes
    make demo-down     removes it all
""")


if __name__ == "__main__":
    if sys.argv[1:2] == ["inventory"] and len(sys.argv) <= 3:
        write_inventory(*sys.argv[2:] or ["demo"])
    elif sys.argv[1:] == ["summary"]:
        summary()
    else:
        sys.exit(__doc__)
