"""Bad input is refused in the operator's words: which variable, what is wrong, what would be right."""

import pytest
import support
import yaml
from ansible_collections.bulwark.flask.plugins.module_utils import inputs

SPECS = {
    role: yaml.safe_load((support.ROLES / role / "meta/argument_specs.yml").read_text())["argument_specs"]["main"]["options"]
    for role in (*inputs.PER_APP, *inputs.HOST)
}
GOOD = {"domains": ["shop.example.com"], "source": {"git": "https://git.example.com/shop.git"}, "wsgi": "shop:create_app()"}


def problems(apps):
    return inputs.applications(apps, apps, SPECS)


def test_good_input_passes():
    assert problems({"shop": GOOD}) == []


def test_all_problems_are_listed_at_once():
    app = {"domains": ["https://Shop.example.com/"], "source": {}, "wsgi": "shop", "gunicorn_app": {"worker": 4}}
    text = inputs.as_text(problems({"shop": app}))
    assert text.startswith("4 problems")
    for part in ("flask_apps.shop.domains", "flask_apps.shop.source", "flask_apps.shop.wsgi", "did you mean workers?"):
        assert part in text


@pytest.mark.parametrize("apps", [None, {}, []])
def test_an_inventory_without_applications_is_refused(apps):
    assert "at least one application" in problems(apps)[0]


@pytest.mark.parametrize("name", ["Shop", "1shop", "shop.example", "a" * 26, "root", "www-data", "shop-build", ""])
def test_a_name_that_cannot_be_an_account_is_refused(name):
    assert problems({name: GOOD})


def test_two_applications_share_neither_domain_nor_folded_name():
    assert "belongs to flask_apps.a already" in problems({"a": GOOD, "b": GOOD})[0]
    apart = {**GOOD, "domains": ["b.example.com"]}
    assert "differ by - and _" in problems({"my-shop": GOOD, "my_shop": apart})[0]


@pytest.mark.parametrize("domain", ["http://a.example.com", "a.example.com:8443", "*.example.com", "A.example.com", "localhost", ""])
def test_a_malformed_domain_is_refused(domain):
    assert inputs.domains("d", [domain])


@pytest.mark.parametrize("source", [{}, {"git": "https://x/y", "path": "."}, {"path": "/nonexistent"}, {"package": "shop"},
                                    {"archive": "https://example.com/a.tar.gz"}, {"git": "not a url"}])
def test_a_malformed_source_is_refused(source):
    assert inputs.source("s", source)


def test_a_password_in_an_address_is_refused_without_showing_it():
    found = inputs.source("s", {"git": "https://me:hunter2@git.example.com/shop.git"})
    assert found and "hunter2" not in found[0]


@pytest.mark.parametrize("key", ["dev", "changeme-changeme-changeme-changeme", "a" * 64, "tiny-key",
                                 "192b9bdd22ab9ed4d12e236c78afcb9a393ec15f71bbf5dc987d54727823bcbf"])
def test_a_weak_secret_key_is_refused_without_showing_it(key):
    found = inputs.environment("env", {"FLASK_SECRET_KEY": key})
    assert found and key not in found[0]


def test_a_strong_secret_key_passes():
    assert inputs.environment("env", {"SECRET_KEY": "kX9v_2mQzR7-tYp4LwBn8sHd3FjC6gUe1aKo5iVr"}) == []


def test_debugging_is_refused():
    assert inputs.environment("env", {"FLASK_DEBUG": "1"})


@pytest.mark.parametrize("value", ["a\rb", "a\x00b", "\x1b[0m"])
def test_a_control_character_is_refused_without_showing_it(value):
    found = inputs.environment("env", {"A": value})
    assert found and value not in found[0]


def test_a_misspelt_variable_gets_the_nearest_right_name():
    assert inputs.host_variables({"nginx_server_keepalive": 1}, SPECS, True) == [
        "nginx_server_keepalive is unknown, did you mean nginx_server_keepalive_seconds?"]
    assert "did you mean flask_app_defaults?" in inputs.host_variables({"flask_app_default": {}}, SPECS, True)[0]


def test_a_variable_that_hides_every_applications_own_is_refused():
    found = inputs.host_variables({"gunicorn_app_workers": 4}, SPECS, True)
    assert "flask_app_defaults: {gunicorn_app: {workers: …}}" in found[0]
    assert inputs.host_variables({"gunicorn_app_workers": 4}, SPECS, False) == []


def test_what_is_the_same_for_the_whole_host_may_be_a_variable_of_it():
    assert inputs.host_variables({"acme_cert_email": "ops@example.com"}, SPECS, True) == []
    assert inputs.host_variables({"acme_cert_email": "ops"}, SPECS, True)


@pytest.mark.parametrize(("name", "version", "good"), [("Debian", "12", True), ("Debian", "13", True), ("Debian", "11", False),
                                                       ("Ubuntu", "24", False)])
def test_an_unsupported_distribution_is_refused(name, version, good):
    assert (inputs.distribution({"distribution": name, "distribution_major_version": version}) == []) is good


def test_the_example_inventory_passes():
    inventory = yaml.safe_load((support.ROOT / "inventory.example").read_text())["all"]["vars"]
    assert problems(inventory.pop("flask_apps")) == []
    assert inputs.host_variables(inventory, SPECS, True) == []
