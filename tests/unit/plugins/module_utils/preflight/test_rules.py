"""Only faults that can be exploited or make requests fail are errors."""

from __future__ import annotations

import datetime
import json

import pytest
from ansible_collections.bulwark.flask.plugins.module_utils.preflight.inspector.forms import without_token
from ansible_collections.bulwark.flask.plugins.module_utils.preflight.inspector.redact import Redactor
from ansible_collections.bulwark.flask.plugins.module_utils.preflight.inspector.templates import Template
from ansible_collections.bulwark.flask.plugins.module_utils.preflight.policy import evaluate
from ansible_collections.bulwark.flask.plugins.module_utils.preflight.tools import inspector_findings
from ansible_collections.bulwark.flask.tests.unit.checkout import ROOT

FLASK = "from flask import Flask\napp = Flask(__name__)\n"
POST = "\n\n@app.post('/')\ndef view():\n    return ''\n"
NO_KEY = {"FLASK_SECRET_KEY": None}
FORM = """from flask_wtf import FlaskForm
from wtforms import StringField
app.secret_key = "7d865e959b2466918c9863afca942d0f"


class Note(FlaskForm):
    text = StringField()
"""
VALIDATED = """

@app.route("/", methods=["GET", "POST"])
def view():
    form = Note()
    if form.validate_on_submit():
        return ""
    return "form"
"""
NONCE = """from flask import abort, request, session
app.secret_key = "7d865e959b2466918c9863afca942d0f"


@app.before_request
def nonce():
    if request.method == "POST" and request.form.get("nonce") != session.get("nonce", "none"):
        abort(400)
"""


def result(answer, check):
    return next(f["result"] for f in answer["findings"] if f["check"] == check)


def errors(answer):
    return {f["check"] for f in answer["findings"] if f["result"] == "error"}


def test_an_api_without_cookies_and_key_has_no_error(host):
    answer = host.program("api", {"web.py": FLASK + POST}, "web:app", NO_KEY)
    assert errors(answer) == set()
    assert result(answer, "secret_key") == result(answer, "csrf_protection") == result(answer, "cookie_secure") == "pass"


@pytest.mark.parametrize(("name", "code", "expected"), [
    ("session-without-key", FLASK + "from flask import session\n" + POST, {"secret_key", "cookie_secure", "csrf_protection"}),
    ("cookie", FLASK + POST.replace("return ''", "from flask import request\n    return request.cookies['a']"), {"csrf_protection"}),
    ("basic", FLASK + "from flask import request\n" + POST.replace("return ''", "return request.authorization.password"), {"csrf_protection"}),
    ("bearer", FLASK + "from flask import request\n" + POST.replace("return ''", "return request.headers['Authorization']"), set()),
    ("set-by-a-hook", FLASK + POST + "\n\n@app.after_request\ndef after(response):\n    getattr(response, 'set_' + 'cookie')('a', 'b')\n"
     "    return response\n\n\n@app.get('/x')\ndef other():\n    return ''\n", {"csrf_protection"}),
])
def test_csrf_matters_where_a_browsers_credentials_reach_the_route(host, name, code, expected):
    assert errors(host.program(name, {"web.py": code}, "web:app", NO_KEY)) == expected


@pytest.mark.parametrize(("name", "code", "expected"), [
    ("form", FLASK + FORM + VALIDATED, "pass"),
    ("form-imported", FLASK + FORM + VALIDATED.replace("form = Note()", "from web import Note as Other\n    form = Other()"), "pass"),
    ("form-beside-a-proxy", FLASK + FORM + "from flask import g\n" + VALIDATED.replace("form = Note()", "user = g.user.name()\n    form = Note()"), "pass"),
    ("form-not-validated", FLASK + FORM + VALIDATED.replace("form.validate_on_submit()", "form.text.data"), "error"),
    ("form-without-csrf", FLASK + FORM + "    class Meta:\n        csrf = False\n" + VALIDATED, "error"),
    ("form-without-csrf-here", FLASK + FORM + VALIDATED.replace("Note()", "Note(meta={'csrf': False})"), "error"),
    ("form-without-csrf-anywhere", FLASK + "app.config['WTF_CSRF_ENABLED'] = False\n" + FORM + VALIDATED, "error"),
    ("nonce", FLASK + NONCE + POST, "pass"),
    ("nonce-left-out", FLASK + NONCE.replace("abort(400)", "pass") + POST, "error"),
    ("login-alone", FLASK + NONCE.replace("request.method == \"POST\" and request.form.get(\"nonce\") != session.get(\"nonce\", \"none\")",
                                          "'user' not in session").replace("400", "403") + POST + "\n\n@app.get('/')\ndef page():\n    return ''\n", "error"),
])
def test_a_protection_counts_where_it_refuses_another_site(host, name, code, expected):
    assert result(host.program(f"protection-{name}", {"web.py": code}, "web:app", NO_KEY), "csrf_protection") == expected


def test_requests_that_the_deployment_refuses_and_settings_it_adds_are_no_error(host, tmp_path):
    (tmp_path / "settings.json").write_text('{"defaults": {"SESSION_COOKIE_SECURE": true}, "config": {}, "refuse_cross_site": true, '
                                            '"trusted_origins": [], "worker_class": "auto"}')
    code = FLASK + "from flask import session\napp.secret_key = '7d865e959b2466918c9863afca942d0f'\n" + POST
    answer = host.program("deployment", {"web.py": code}, "web:app", NO_KEY,
                          deployment=[str(ROOT / "roles/gunicorn_app/files/deployment.py"), str(tmp_path / "settings.json")])
    assert result(answer, "csrf_protection") == "warning"
    assert "the session cookie is Secure (set by the deployment)" in [f["found"] for f in answer["findings"]]
    assert result(answer, "proxy_hops") == "pass"
    assert result(host.program("no-deployment", {"web.py": code}, "web:app", NO_KEY), "proxy_hops") == "warning"


@pytest.mark.parametrize(("script", "expected"), [("xhr.setRequestHeader('X-CSRFToken', token)", "pass"), ("axios.xsrfHeaderName = 'X-XSRF-TOKEN'", "error")])
def test_a_script_may_send_the_token_of_every_form(host, script, expected):
    files = {"web.py": f"{FLASK}from flask_wtf import CSRFProtect\nCSRFProtect(app)\n", "static/js/main.js": script,
             "templates/a.html": "<form method=post></form>"}
    assert result(host.program(f"script-{expected}", files, "web:app", NO_KEY), "csrf_tokens_in_forms") == expected


@pytest.mark.parametrize(("settings", "shared", "told"), [
    ("UPLOAD_FOLDER='uploads', LOG_FILE=str(HERE / 'logs/app.log')", ["instance"], ["shared: [instance, logs, uploads]"] * 2),
    ("UPLOAD_FOLDER='uploads/new', DATABASE='data.db'", ["uploads"], ["shared: [uploads, data.db]"]),
    ("UPLOAD_FOLDER='/tmp/uploads', DATABASE=':memory:', MEDIA_ROOT='', DATABASE_URL='postgresql://db/shop', CACHE_DIR='instance/cache'", ["instance"], []),
    ("DATABASE_URL='sqlite:////tmp/app.db', DATABASE='/dev/shm/x.db'", ["instance"],
     ['config: {DATABASE: "/var/lib/shop/x.db"}', 'config: {DATABASE_URL: "sqlite:////var/lib/shop/app.db"}']),
    ("UPLOAD_FOLDER='/dev/null/uploads'", ["instance"], ["let UPLOAD_FOLDER lead below the directory that the environment variable STATE_DIRECTORY names"]),
    ("DATABASE_URL='sqlite:///data/app.db', OTHER='sqlite:///:memory:'", ["instance"], ["shared: [instance, data]"]),
])
def test_places_of_a_release_that_are_not_shared_are_told_with_the_line(host, settings, shared, told):
    code = f"from pathlib import Path\nHERE = Path(__file__).parent\n{FLASK}app.config.update({settings})\n"
    answer = host.program(f"places-{abs(hash(settings))}", {"web.py": code}, "web:app", NO_KEY, sealed=True, shared=shared)
    assert [f["fix"] for f in answer["findings"] if f["check"] == "writable_places" and f["result"] != "pass"] == told


@pytest.mark.parametrize(("package", "code"), [
    ("dav", "class Dav:\n    def __call__(self, environ, start_response):\n        return []\n\n\napp = Dav()\n"),
    ("dav", "def app(environ, start_response):\n    return []\n"),
    ("pyramid", "class Router:\n    def __call__(self, environ, start_response):\n        return []\n\n\napp = Router()\n"),
])
def test_templates_of_the_package_that_an_application_is_part_of_are_named_but_not_those_of_a_framework(host, tmp_path, package, code):
    folder = tmp_path / "site-packages" / package
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text("")
    (folder / "served.py").write_text(code)
    web = f"import sys\nsys.path.insert(0, {str(folder.parent)!r})\nfrom {package}.served import app\n"
    answer = host.program(f"packaged-{package}-{len(code)}", {"web.py": web}, "web:app", NO_KEY)
    assert answer["template_folders"] == ([str(folder)] if package == "dav" else [])


def test_commands_and_templates_that_others_bring_are_named(host, tmp_path):
    (tmp_path / "panel/templates").mkdir(parents=True)
    (tmp_path / "wiki").mkdir()
    code = FLASK + f"app.template_folder = '{tmp_path}/wiki'\n" \
        f"from flask import Blueprint\napp.register_blueprint(Blueprint('panel', 'panel', template_folder='{tmp_path}/panel/templates'))\n" \
        "app.register_blueprint(Blueprint('own', __name__, template_folder='templates'))\n\n\n@app.cli.command('init-db')\ndef init():\n    pass\n"
    answer = host.program("brought", {"web.py": code, "templates/a.html": ""}, "web:app", NO_KEY)
    assert (answer["commands"], answer["template_folders"]) == (["init-db"], [f"{tmp_path}/panel/templates", f"{tmp_path}/wiki"])


ASGI = "class App:\n    async def __call__(self, scope, receive, send):\n        raise SystemExit('called')\n\n\napp = App()\n"
WSGI = "def app(environ, start_response):\n    raise SystemExit('called')\n"


@pytest.mark.parametrize(("code", "interface", "words"), [
    (ASGI, "asgi", "web:app is an ASGI application (web.App) and is served as such; the checks are for Flask and were left out"),
    (WSGI, "wsgi", "wsgi names no Flask application but builtins.function, and none was found below it; it is served, "
                   "and the checks, which are for Flask, were left out"),
    ("async def app(scope, receive, send):\n    raise SystemExit('called')\n", "asgi", "is an ASGI application (builtins.function)"),
])
def test_a_target_that_is_not_a_flask_application_is_served_with_one_finding(host, code, interface, words):
    answer = host.program(f"other-{len(code)}", {"web.py": code}, "web:app")
    assert (answer["interface"], answer["exception"]) == (interface, None)
    (line,) = inspector_findings(json.dumps(answer))
    assert (line["check"], line["result"], line["why"], line["fix"]) == ("application", "unknown", "", "")
    assert words in line["found"]
    assert evaluate([line], {}, datetime.date.today()).ok


@pytest.mark.parametrize(("code", "chosen"), [(ASGI, "gthread"), (WSGI, "asgi")])
def test_a_class_of_workers_that_cannot_run_the_application_is_an_error(host, tmp_path, code, chosen):
    settings = tmp_path / "settings.json"
    settings.write_text(json.dumps({"defaults": {}, "config": {}, "refuse_cross_site": True, "trusted_origins": [], "worker_class": chosen}))
    answer = host.program(f"chosen-{chosen}", {"web.py": code}, "web:app", deployment=[str(ROOT / "roles/gunicorn_app/files/deployment.py"), str(settings)])
    (line,) = answer["findings"]
    assert (line["result"], line["fix"]) == ("error", "leave out worker_class")
    assert line["found"].endswith(f"and gunicorn_app.worker_class is {chosen}")


def test_redaction_hides_values_of_secrets_and_nothing_else():
    text = ("customer-portal-production listens on /srv/customer-portal-production/run for https://portal.example.com:8443/login, "
            "mail by mail.example.com, database postgres://portal:{password}@db.example.com/portal, key {key}, environment production")
    environment = {"APP_NAME": "customer-portal-production", "UPLOADS": "/srv/customer-portal-production/run",
                   "FLASK_BASE_URL": "https://portal.example.com:8443/login", "MAIL_SERVER": "mail.example.com",
                   "FLASK_ENVIRONMENT": "production", "DATABASE_URL": "postgres://portal:hunter2-hunter2@db.example.com/portal",
                   "PAYMENT_TOKEN": "tok_live_value"}
    redacted = Redactor(environment).redact(text.format(password="hunter2-hunter2", key="tok_live_value"))
    assert redacted.split() == text.format(password="[DATABASE_URL]", key="[PAYMENT_TOKEN]").split()


@pytest.mark.parametrize(("value", "hidden"), [
    ("Hq7ZkTnWbLmNpXcVgJdRsFyA", True), ("fsHkQzTrWbLmNpXcVgJdRsFy", True), ("b1946ac92492d2347c6235b4d2611184", True),
    ("canary-Hq7ZkTnWbLmNpXcVgJdRsFyA", True), ("https://hooks.example.com/T0/5mZ8kQ2vLx9RtYw3Nb7Ps1Cd", True),
    ("customerportalproductionenvironment", False), ("CustomerPortalProductionSite", False), ("/srv/shop/releases/20261128T101010Z", False),
    ("shop.production.example.com:8443", False), ("1234567812345678", False),
])
def test_a_random_text_is_hidden_under_any_name(value, hidden):
    shown = Redactor({"SOMETHING": value}).redact(f"it is {value}, they say")
    assert ("[SOMETHING]" in shown) is hidden and shown.endswith(", they say")


@pytest.mark.parametrize(("html", "lines"), [
    ("<p>\n<form method=post><input name=a></form>", [2]),
    ('<form action="{{ url_for("a") }}" method="POST"><textarea>{{ request.form["a"] or b }}</textarea></form>', [1]),
    ("<form method=post>{{ form.csrf_token }}</form>", []),
    ('<form method=post><input name="csrf_token" value="{{ csrf_token() }}"></form>', []),
    ("<form method=post>{{ form.hidden_tag() }}</form>", []),
    ("<form method=post>{% include name %}</form>", []),
    ("<form method=post>{{ render(form) }}</form>", []),
    ("<form method=post>{% for field in form %}{{ field }}{% endfor %}</form>", []),
    ("<form method=post>{% block fields %}{% endblock %}</form>", []),
    ("<form method=get></form>", []),
    ('<form method=post action="https://pay.example.com/"></form>', []),
    ('<form method=post action="{{ url_for("hook") }}"></form>', []),
    ("{# <form method=post></form> #}<!-- <form method=post></form> -->", []),
    ('<meta name="csrf-token"><form method=post></form>', []),
])
def test_a_form_without_token_is_found_where_it_is_certain(html, lines):
    assert [place.line for place in without_token([Template("a.html", "a.html", html, None, 0)], ["hook"])] == lines
