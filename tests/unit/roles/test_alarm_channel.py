"""alarm_channel: checks, secrets, and rules of its inputs."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml
from ansible_collections.bulwark.flask.plugins.module_utils.inputs import engine
from ansible_collections.bulwark.flask.plugins.module_utils.inputs.roles import alarm_channel as rules
from ansible_collections.bulwark.flask.tests.unit import support

MAIL = {"to": ["ops@example.com"], "server": "smtp.example.com", "username": "web1", "password": "pw-7d1e55aa"}
WEBHOOK = {"url": "https://hooks.example.com/T0/B1/path-4411", "secret": "Bearer tok-9c2f"}


def rendered(template: str, **extra: Any) -> Any:
    return json.loads(support.render("alarm_channel", template, **extra))


def test_the_domains_of_each_application_are_a_file_of_their_own() -> None:
    apps = {"shop": {"domains": ["shop.example.com"]}, "notes": {}}
    values = support.role_vars("alarm_channel", flask_apps=apps, flask_app_defaults={"domains": ["notes.example.com", "*.example.com"]})
    files = {entry["dest"]: json.loads(entry["content"]) for entry in values["__alarm_channel_site_files"]}
    assert files == {"/etc/alarm-channel/sites/shop.json": ["shop.example.com"], "/etc/alarm-channel/sites/notes.json": ["notes.example.com"]}


def test_every_module_of_the_program_is_installed() -> None:
    values, files = support.role_vars("alarm_channel"), support.ROOT / "roles/alarm_channel/files"
    installed = {entry["dest"]: entry["content"] for entry in values["__alarm_channel_package_files"]}
    modules = list((files / "alarm_channel").glob("*.py"))
    assert installed == {f"/usr/local/lib/alarm-channel/alarm_channel/{path.name}": path.read_text(encoding="utf-8") for path in modules}
    # An artefact has no links.
    assert {(files / f"{path}.py").resolve() for path in values["__alarm_channel_shared_modules"]} == {
        path.resolve() for path in modules if path.is_symlink()}


def test_without_channels_there_is_still_the_journal() -> None:
    assert rendered("config.json.j2")["channels"] == []
    channels = rendered("channels.json.j2")
    assert (channels["mail"], channels["webhook"]) == (None, None)


def test_secrets_are_in_the_file_that_is_roots_alone_and_in_no_other() -> None:
    extra = {"alarm_channel_mail": MAIL, "alarm_channel_webhook": WEBHOOK}
    for path in sorted((support.ROLES / "alarm_channel/templates").glob("*.j2")):
        text = support.render("alarm_channel", path.name, **extra)
        for secret in ("pw-7d1e55aa", "tok-9c2f", "path-4411"):
            assert (secret in text) == (path.name == "channels.json.j2"), path.name


@pytest.mark.parametrize(("security", "port"), [("starttls", 587), ("tls", 465), ("none", 25)])
def test_each_kind_of_encryption_has_its_port(security: str, port: int) -> None:
    mail = {"to": ["ops@example.com"], "server": "smtp.example.com", "security": security}
    assert rendered("channels.json.j2", alarm_channel_mail=mail)["mail"] == {
        "to": ["ops@example.com"], "from": "ops@example.com", "server": "smtp.example.com", "security": security, "port": port,
        "username": "", "password": ""}


def test_without_a_server_the_hosts_own_mail_system_is_spoken_to_by_the_same_account() -> None:
    mail = {"to": ["root@localhost"]}
    found = rendered("channels.json.j2", alarm_channel_mail=mail)["mail"]
    assert (found["server"], found["port"], found["security"]) == ("127.0.0.1", 25, "none")
    unit = support.render("alarm_channel", "deliver.service.j2", alarm_channel_mail=mail)
    assert "\nUser=alarm-channel\n" in unit and "\nCapabilityBoundingSet=\n" in unit


def test_metrics_are_linked_where_they_are_wanted() -> None:
    assert ".prom" not in support.render("alarm_channel", "tmpfiles.conf.j2")
    text = support.render("alarm_channel", "tmpfiles.conf.j2", alarm_channel_textfile_directory="/var/lib/node")
    assert "\nL+ /var/lib/node/alarm-channel.prom - - - - /var/lib/alarm-channel/metrics.prom\n" in text


@pytest.mark.parametrize(("mail", "part"), [
    ({"server": "smtp.example.com"}, ".to is missing"),
    ({"to": ["ops"]}, "e-mail address"),
    ({"to": ["a@example.com\nBcc: b@example.com"]}, "e-mail address"),
    ({"to": ["a@b.example"], "from": "x y@example.com"}, ".from must be an e-mail address"),
    ({"to": ["a@b.example"], "password": "s3cret-word", "username": "u"}, "goes with a server"),
    ({**MAIL, "security": "none"}, "in the clear"),
    ({**MAIL, "username": ""}, "belong together"),
    ({**MAIL, "server": "smtp://x"}, "name or address"),
    ({**MAIL, "port": 70000}, "1 to 65535"),
])
def test_mail_that_cannot_work_is_refused_without_repeating_the_password(mail: dict[str, Any], part: str) -> None:
    found = rules.mail("alarm_channel_mail", mail)
    assert part in " ".join(found)
    assert not [text for text in found if "s3cret-word" in text or MAIL["password"] in text]


def test_good_values_pass() -> None:
    mails: list[dict[str, Any]] = [{}, {"to": ["root@localhost"]}, MAIL, {**MAIL, "security": "tls", "port": 465}]
    assert [rules.mail("m", mail) for mail in mails] == [[]] * 4
    assert [rules.webhook("w", hook) for hook in ({}, WEBHOOK, {"url": "http://10.0.0.1:9093/x"})] == [[]] * 3


@pytest.mark.parametrize(("hook", "part"), [
    ({"secret": "s3cret-word"}, ".url must be"),
    ({"url": "ftp://s3cret-word"}, ".url must be"),
    ({"url": "https://me:s3cret-word@example.com/"}, "user or password"),
    ({"url": "http://example.com/", "secret": "s3cret-word"}, "in the clear"),
    ({"url": "https://example.com/", "header": "X-Token"}, "goes with a secret"),
    ({"url": "https://example.com/", "header": "X: Y", "secret": "s3cret-word"}, "header's name"),
    ({"url": "https://example.com/", "secret": "s3cret-word\nX: y"}, "one line"),
])
def test_a_webhook_that_cannot_work_is_refused_without_repeating_its_secret(hook: dict[str, Any], part: str) -> None:
    (problem,) = rules.webhook("alarm_channel_webhook", hook)
    assert part in problem
    assert "s3cret-word" not in problem


def test_a_misspelt_key_is_refused_with_the_right_one() -> None:
    text = (support.ROLES / "alarm_channel/meta/argument_specs.yml").read_text()
    spec = yaml.safe_load(text)["argument_specs"]["main"]["options"]["alarm_channel_mail"]
    (problem,) = engine.typed("alarm_channel_mail", "alarm_channel", "mail", {"too": ["a@b.example"]}, spec)
    assert "did you mean to?" in problem


@pytest.mark.parametrize(("given", "refused"), [
    ({}, False), ({"warning": 30, "critical": 29}, False), ({"warning": 10}, True), ({"critical": 25}, True), ({"critical": "40"}, True)])
def test_a_certificate_is_first_a_warning_and_then_critical(given: dict[str, Any], refused: bool) -> None:
    variables = {f"alarm_channel_certificate_{name}_percent": value for name, value in given.items()}
    specs = {role: yaml.safe_load((support.ROLES / role / "meta/argument_specs.yml").read_text())["argument_specs"]["main"]["options"]
             for role in ("alarm_channel", "host_access")}
    found = engine.host_variables(variables, specs, {})
    assert ["alarm_channel_certificate_critical_percent must be below" in problem for problem in found] == [True] * refused
