"""Digests of the inputs of a run: the same for the same inputs, and another for each that differs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template
from ansible_collections.bulwark.flask.plugins.plugin_utils import inputs_digest

FACTS = {"distribution_major_version": "13", "dns": {"nameservers": ["192.0.2.53"]}, "lo": {"ipv6": []}}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "shop"
    folder.mkdir()
    (folder / "shop.py").write_text("app = None\n", encoding="utf-8")
    return folder


def entry(source: Path, /, **more: Any) -> dict[str, Any]:
    return {"domains": ["shop.example.com"], "wsgi": "shop:app", "source": {"path": str(source)}} | more


def inputs(apps: dict[str, Any], facts: dict[str, Any] | None = None, **more: Any) -> inputs_digest.Inputs:
    variables = {"flask_apps": apps, "inventory_hostname": "web", "ansible_facts": {**FACTS, **(facts or {})}, **more}
    loader = DataLoader()
    return inputs_digest.Inputs(Templar(loader=loader, variables=variables), variables, loader.get_text_file_contents)


def digests(apps: dict[str, Any], facts: dict[str, Any] | None = None, **more: Any) -> dict[str, str]:
    return inputs(apps, facts, **more).digests()


def test_each_application_and_the_host_have_one(source: Path) -> None:
    apps = {"shop": entry(source), "blog": entry(source)}
    found = digests(apps)
    assert set(found) == {"", "shop", "blog"} and len(set(found.values())) == 3
    assert digests(apps) == found
    assert digests(apps, {"date_time": {"epoch": "1"}, "uptime_seconds": 5}, my_variable="x") == found, "no role reads them"


# All digests are others.
FOR_ALL: dict[str, dict[str, Any]] = {
    "a variable of a role": {"gunicorn_app_timeout_seconds": 31},
    "defaults of applications": {"flask_app_defaults": {"body_max_mb": 2}},
    "another version of Debian": {"facts": {"distribution_major_version": "12"}},
    "other name servers": {"facts": {"dns": {"nameservers": ["192.0.2.54"]}}},
    "another name of the host, which spreads the times of audits": {"inventory_hostname": "web2"},
    "the text of the first line of files": {"ansible_managed": "by us"},
    "another application, which has a share of the memory": {"more": {"blog": {}}},
}


@pytest.mark.parametrize("change", FOR_ALL.values(), ids=FOR_ALL)
def test_an_input_of_every_application_changes_all(source: Path, change: dict[str, Any]) -> None:
    before, given = digests({"shop": entry(source)}), dict(change)
    after = digests({"shop": entry(source), **({"blog": entry(source)} if given.pop("more", None) else {})}, given.pop("facts", None), **given)
    assert after["shop"] != before["shop"] and after[""] != before[""]


# Those of the application and of the host are others.
FOR_ONE: dict[str, dict[str, Any]] = {
    "a value of the environment": {"env": {"TOKEN": "a"}},
    "a domain": {"domains": ["www.example.com"]},
    "a value of a section": {"nginx_site": {"redirect_port": 8443}},
}


@pytest.mark.parametrize("change", FOR_ONE.values(), ids=FOR_ONE)
def test_an_input_of_one_application_leaves_the_others(source: Path, change: dict[str, Any]) -> None:
    before = digests({"shop": entry(source), "blog": entry(source)})
    after = digests({"shop": entry(source, **change), "blog": entry(source)})
    assert after["shop"] != before["shop"] and after[""] != before[""] and after["blog"] == before["blog"]


def test_templates_are_rendered_and_files_of_a_source_count(source: Path) -> None:
    apps = {"shop": entry(source, env={"TOKEN": trust_as_template("{{ token }}")})}
    first, second = digests(apps, token="a"), digests(apps, token="b")
    assert first["shop"] != second["shop"]
    (source / "shop.py").write_text("app = 1\n", encoding="utf-8")
    assert digests(apps, token="a")["shop"] != first["shop"]
    assert digests(apps, token="a")[""] == first[""]


UNKNOWN: dict[str, dict[str, Any]] = {
    "a template of the operator": {"nginx_site": {"template": "/srv/templates/shop.conf.j2"}},
    "a page of the operator that is not there": {"nginx_site": {"maintenance_page": "/does/not/exist"}},
    "a certificate of the operator that is not there": {"acme_cert": {"source": "provided", "provided_chain": "/does/not/exist"}},
    "a source that is not there": {"source": {"path": "/does/not/exist"}},
}


@pytest.mark.parametrize("change", UNKNOWN.values(), ids=UNKNOWN)
def test_what_is_no_value_gives_no_digest(source: Path, change: dict[str, Any]) -> None:
    found = digests({"shop": entry(source, **change), "blog": entry(source)})
    assert "shop" not in found and "blog" in found


@pytest.mark.parametrize("option", ["requirements", "provided_chain", "provided_key"])
def test_the_contents_of_files_count(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, option: str) -> None:
    monkeypatch.chdir(tmp_path)
    seen = set()
    for text in ("a", "b"):
        (tmp_path / "file").write_text(text, encoding="utf-8")
        for path in ("file", str(tmp_path / "file")):
            seen.add(digests({"shop": entry(source, acme_cert={option: path})})["shop"])
    assert len(seen) == 4, "the path counts too"
    assert "shop" in digests({"shop": entry(source, acme_cert={option: "-----BEGIN CERTIFICATE-----\n"})})


def test_the_contents_of_a_page_of_the_operator_count(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    seen = set()
    for text in ("a", "b"):
        (tmp_path / "page.html").write_text(text, encoding="utf-8")
        for path in ("~/page.html", str(tmp_path / "page.html")):
            seen.add(digests({"shop": entry(source, nginx_site={"maintenance_page": path})})["shop"])
    assert len(seen) == 4, "the path counts too"
    monkeypatch.chdir(tmp_path)
    assert "shop" not in digests({"shop": entry(source, nginx_site={"maintenance_page": "page.html"})}), "the role may find another one"


CALLS: dict[str, tuple[dict[str, Any], dict[str, Any], list[str]]] = {
    "neither": ({}, {}, ["acme_certificate-shop"]),
    "two certificates": ({"acme_cert": {"rsa_certificate": True}}, {}, ["acme_certificate-shop", "acme_certificate-shop.rsa"]),
    "two certificates on every host but this": ({"acme_cert": {"rsa_certificate": True}}, {"acme_cert_rsa_certificate": "no"}, ["acme_certificate-shop"]),
    "an own certificate": ({"acme_cert": {"source": "self_signed", "rsa_certificate": True}}, {}, ["own_certificate-shop"]),
    "one of the host": ({}, {"acme_cert_source": "provided"}, ["own_certificate-shop"]),
    "credentials": ({"app_secrets": {"credentials": {"key": "a"}}}, {}, ["acme_certificate-shop", "credential_files-shop.credentials"]),
    "files": ({"files": {"config.py": {"content": "a"}}}, {}, ["acme_certificate-shop", "credential_files-shop.credentials"]),
    "credentials of the host": ({}, {"app_secrets_credentials": {"key": "a"}}, ["acme_certificate-shop", "credential_files-shop.credentials"]),
}


@pytest.mark.parametrize(("more", "variables", "calls"), CALLS.values(), ids=CALLS)
def test_the_calls_of_a_run_are_known(source: Path, more: dict[str, Any], variables: dict[str, Any], calls: list[str]) -> None:
    assert inputs({"shop": entry(source, **more)}, **variables).calls("shop") == calls


def test_what_cannot_be_read_gives_none(source: Path) -> None:
    assert digests({"shop": entry(source, env={"TOKEN": trust_as_template("{{ nowhere }}")})}) == {}
    assert "shop" not in digests({"shop": entry(source)}, nginx_site_template="site.conf.j2")


def test_another_version_of_the_collection_gives_others(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = digests({"shop": entry(source)})
    role = tmp_path / "roles" / "nginx_site" / "tasks"
    role.mkdir(parents=True)
    monkeypatch.setattr(inputs_digest, "COLLECTION", tmp_path)
    seen = set()
    for text in ("a", "b"):
        (role / "main.yml").write_text(text, encoding="utf-8")
        inputs_digest._of_collection.cache_clear()
        seen.add(digests({"shop": entry(source)})["shop"])
    inputs_digest._of_collection.cache_clear()
    assert len({*seen, before["shop"]}) == 3


def test_the_secrets_of_sources_are_those_of_the_applications_that_are_asked_for(source: Path) -> None:
    private = {"git": "https://git.example.com/shop.git", "version": "main", "token": trust_as_template("{{ token }}")}
    found = inputs({"shop": entry(source, source=private), "blog": entry(source), "other": entry(source, source=private)}, token="t")
    assert found.source_secrets(["shop", "blog", "gone"]) == {"shop": {"token": "t"}}
    apps = {"shop": entry(source, source=private)}
    assert digests(apps, token="t")["shop"] != digests(apps, token="u")["shop"]
