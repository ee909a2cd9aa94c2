"""Checks on a host find faults in certificates, units and the access log."""

from __future__ import annotations

import datetime
from collections.abc import Iterator

import pytest
from channel import Channel
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from host.plugin import Site

LINK = "/etc/ssl/acme-cert/shop"


def certificate(domain: str, days: float, left_percent: float) -> tuple[str, str]:
    """A certificate of another CA with this share of its lifetime left, and its key."""
    key, ca_key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    end = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(days=days * left_percent / 100)
    built = (x509.CertificateBuilder().subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, domain)]))
             .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "another CA")])).public_key(key.public_key())
             .serial_number(x509.random_serial_number()).not_valid_before(end - datetime.timedelta(days=days)).not_valid_after(end)
             .add_extension(x509.SubjectAlternativeName([x509.DNSName(domain)]), False).sign(ca_key, hashes.SHA256()))
    return (built.public_bytes(serialization.Encoding.PEM).decode(),
            key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()).decode())


class Certificates:
    """What is on disk, and what is served."""

    def __init__(self, channel: Channel, domain: str) -> None:
        self.channel, self.domain = channel, domain
        self.before = channel.sh(f"readlink {LINK}").strip()

    def write(self, days: float, left_percent: float) -> None:
        """Put another one on disk."""
        chain, key = certificate(self.domain, days, left_percent)
        self.channel.sh(f"mkdir -p /etc/ssl/verify; cat >/etc/ssl/verify/fullchain.pem <<'END'\n{chain}END\n"
                        f"cat >/etc/ssl/verify/privkey.pem <<'END'\n{key}END\nln -sfn /etc/ssl/verify {LINK}")

    def reload(self) -> None:
        """Have it served."""
        # Until none of the processes takes connections that did before.
        self.channel.sh("workers() { pgrep -x -f 'nginx: worker process' | sort; }; nginx -t -q 2>/dev/null || exit; workers >/run/verify-workers; "
                        "systemctl reload nginx; for n in $(seq 100); do [ -n \"$(workers)\" ] && "
                        "[ -z \"$(workers | comm -12 - /run/verify-workers)\" ] && break; sleep 0.1; done; rm /run/verify-workers")

    def restore(self) -> None:
        """As it was."""
        self.channel.sh(f"ln -sfn {self.before} {LINK}; rm -rf /etc/ssl/verify")
        self.reload()


@pytest.fixture
def certificates(channel: Channel) -> Iterator[Certificates]:
    found = Certificates(channel, channel.server.target.apps[0].domain)
    yield found
    found.restore()


@pytest.mark.parametrize("days", [90, 6])
def test_a_certificate_that_is_renewed_and_not_loaded_is_seen(channel: Channel, certificates: Certificates, days: float) -> None:
    key = f"certificate/{certificates.domain}"
    assert key not in channel.check()
    certificates.write(days, 20)
    certificates.reload()
    assert key in channel.check()
    certificates.write(days, 99)
    assert key in channel.check(), "the file was believed, and not the wire"
    certificates.reload()
    assert key not in channel.check()


def test_a_web_server_that_presents_nothing_is_seen(channel: Channel) -> None:
    key = f"certificate/{channel.server.target.apps[0].domain}"
    channel.sh("systemctl stop nginx")
    try:
        assert {key, "unit/nginx.service"} <= channel.check()
    finally:
        channel.sh("systemctl start nginx")
    assert not {key, "unit/nginx.service"} & channel.check()


def test_a_renewal_that_failed_is_seen_until_one_succeeds(channel: Channel) -> None:
    unit = "acme-cert-renew@shop.service"
    # The CA is not reachable: the port is closed.
    channel.sh("cp /etc/hosts /root/verify-hosts; echo '127.0.0.1 pebble' >/etc/hosts; touch /run/acme-cert-force-shop")
    try:
        assert channel.server.host.run(f"systemctl start {unit}").rc != 0
    finally:
        channel.sh("cat /root/verify-hosts >/etc/hosts; rm /root/verify-hosts")
    assert f"unit/{unit}" in channel.check()
    channel.sh(f"systemctl start {unit}")
    assert f"unit/{unit}" not in channel.check()


def test_cron_that_does_not_run_is_seen(channel: Channel) -> None:
    channel.sh("systemctl stop cron")
    try:
        assert "unit/cron.service" in channel.check()
    finally:
        channel.sh("systemctl start cron")
    assert "unit/cron.service" not in channel.check()


def test_a_process_that_crashes_over_and_over_is_seen(channel: Channel) -> None:
    instance = channel.sh("basename $(readlink -f /srv/shop/current)").strip()
    unit = f"gunicorn-shop@{instance}.service"
    channel.check()
    for n in range(3):
        channel.sh(f"systemctl kill --kill-whom=main --signal=KILL {unit}; for i in $(seq 100); do "
                   f"[ $(systemctl show --value -p NRestarts {unit}) -ge {n + 1} ] && systemctl -q is-active {unit} && break; sleep 0.2; done")
    assert f"crash-loop/{unit}" in channel.check()


def test_many_5xx_are_seen_also_when_the_log_was_just_rotated(channel: Channel) -> None:
    site = Site(channel.server, channel.server.target.apps[0])
    instance = channel.sh("basename $(readlink -f /srv/shop/current)").strip()
    units = f"gunicorn-shop@{instance}.socket gunicorn-shop@{instance}.service"
    channel.sh(f"systemctl stop {units}")
    try:
        statuses = [site.get("/").status for _ in range(15)]
    finally:
        channel.sh(f"systemctl start {units}")
    assert set(statuses) == {502}
    assert "errors/shop" in channel.check()
    channel.sh("logrotate -f /etc/logrotate.d/nginx-shop")
    assert channel.sh("cat /var/log/nginx/shop/access.log") == ""
    assert "errors/shop" in channel.check()


def test_an_error_that_a_limit_causes_is_seen_with_its_setting(channel: Channel) -> None:
    assert "sandbox/shop" not in channel.check()
    instance = channel.sh("basename $(readlink -f /srv/shop/current)").strip()
    # As the kernel ends a worker that is beyond the limit of memory.
    channel.sh(f"pkill -KILL --parent $(systemctl show --value -p MainPID gunicorn-shop@{instance}.service); "
               "for i in $(seq 100); do journalctl --namespace=shop --grep 'out of memory' --quiet | grep -q . && exit; sleep 0.2; done; exit 1")
    assert "sandbox/shop" in channel.check()
    assert "gunicorn_app: {memory_max_mb: 1024}" in channel.sh("alarm-channel status")
