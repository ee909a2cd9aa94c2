"""The inspector has no findings in the examples, and finds each insecure variant of them."""

from __future__ import annotations

import json
import zlib
from pathlib import Path

import pytest
from ansible_collections.bulwark.flask.plugins.module_utils.preflight.inspector.table import CHECKS
from ansible_collections.bulwark.flask.tests.unit.plugins.module_utils.preflight.preflight_variants import VARIANTS, Variant

FLASK = "from flask import Flask\napp = Flask(__name__)\n"
RANK = {"pass": 0, "unknown": 1, "warning": 2, "error": 3}


def seen(answer):
    """Checks that did not pass, and how."""
    return {f["check"]: f["result"] for f in answer["findings"] if f["result"] != "pass"}


def results(answer):
    return {f["result"] for f in answer["findings"]}


@pytest.mark.parametrize("base", ["shop", "minimal"])
def test_the_examples_pass(host, base):
    answer = host.of(Variant(f"clean-{base}", "", "", base=base), new_process=True)
    assert answer["exception"] is None and answer["inspector"] == 1 and answer["flask"] and answer["python"]
    assert [(f["check"], f["result"]) for f in answer["findings"]] == [(check.id, "pass") for check in CHECKS]


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda v: v.name)
def test_an_insecure_variant_is_caught_by_its_check_only(answers, variant):
    answer = answers(variant.name)
    assert answer["exception"] is None
    assert {f["check"] for f in answer["findings"]} == {check.id for check in CHECKS}
    found = [f for f in answer["findings"] if f["result"] != "pass"]
    # Two checks read templates: one that cannot be parsed is unknown to both.
    expected = {variant.check} | ({"unescaped_output"} if variant.name == "template-broken" else set())
    assert {f["check"] for f in found} == expected, found
    assert max((f["result"] for f in found), key=RANK.get) == variant.result, found
    assert all(f["found"] and f["why"] and f["fix"] for f in found)


@pytest.mark.parametrize("check", CHECKS, ids=lambda c: c.id)
def test_each_check_finds_a_fault_with_its_declared_severity(check):
    caught = [v.result for v in VARIANTS if v.check == check.id]
    assert max(caught, key=RANK.get) == check.severity


def test_exemptions_and_open_routes_are_reported_by_endpoint(answers):
    def finding(name, check):
        return next(f["found"] for f in answers(name)["findings"] if f["check"] == check and f["result"] == "error")

    assert "api.add_review (POST), api.change_cart (PUT)" in finding("csrf-exempt-blueprint", "csrf_exemptions")
    assert finding("csrf-exempt-view", "csrf_exemptions") == "exempt: pages.review (POST)"
    assert "a cross-site request reaches api.change_cart (PUT). Credentials: " in finding("csrf-without-put", "csrf_protection")
    for name in ("csrf-missing", "csrf-hook-taken-out"):
        assert "api.add_review (POST), api.change_cart (PUT); 2 check the token of their form" in finding(name, "csrf_protection")


def test_places_are_reported_by_file_and_line(answers):
    def finding(name, check):
        return next(f["found"] for f in answers(name)["findings"] if f["check"] == check and f["result"] != "pass")

    assert "shop/local.py:1" in finding("key-in-python", "secret_key_in_source")
    assert ".env:1" in finding("key-in-a-dotenv", "secret_key_in_source")
    assert "templates/about.html:1" in finding("safe-in-a-template", "unescaped_output")
    assert "shop/text.py:5" in finding("markup-of-a-variable", "unescaped_output")
    assert "templates/broken.html:2" in finding("template-broken", "autoescape")


def test_a_private_store_passes(host):
    code = "import redis\nfrom flask_session.redis import RedisSessionInterface\n" \
           'app.session_interface = RedisSessionInterface(app, client=redis.from_url("unix://shop:" + app.config["SECRET_KEY"] + "@/run/r.sock"))'
    from preflight_variants import late

    answer = host.of(Variant("store-private", "", "", late(code)))
    assert not seen(answer)
    assert "under a user of its own" in next(f["found"] for f in answer["findings"] if f["check"] == "session_store")


# --- what wsgi may name ---------------------------------------------------------------------------


def test_a_factory_is_called_with_its_arguments(host):
    code = "from flask import Flask\n\n\ndef make(name, debug=False):\n    app = Flask(name)\n    app.debug = debug\n    return app\n"
    answer = host.program("factory", {"web.py": code}, "web:make('shop', debug=True)")
    assert seen(answer)["debug_mode"] == "error"


@pytest.mark.parametrize(("wsgi", "result", "words", "fix"), [
    ("web:make", "error", "is a function that makes the application", 'wsgi: "web:make()"'),
    ("web:missing", "error", "the module web has no missing", 'wsgi: "web:site" # or "web:create_app()"'),
    ("web:make(1", "error", "neither a name nor a call", 'such as "shop:app"'),
    ("web:make(open('x'))", "error", "literal values only", 'such as "shop:app"'),
    ("web:TEXT", "error", "gives builtins.str, which is no application", 'wsgi: "web:site" # or "web:create_app()"'),
    ("web:plain", "unknown", "no Flask application", ""), ("web:Plain()", "unknown", "no Flask application but web.Plain", ""),
])
def test_a_target_that_is_not_a_flask_application_is_reported(host, wsgi, result, words, fix, tmp_path):
    code = "import flask\nsite = flask.Flask(__name__)\n\n\ndef create_app():\n    return site\n\n\n" \
           "TEXT = ''\n\n\ndef make():\n    pass\n\n\ndef plain(environ, start_response):\n    return []\n\n\n" \
           "class Plain:\n    def __call__(self, environ, start_response):\n        return []\n"
    answer = host.program(f"words-{tmp_path.name}", {"web.py": code}, wsgi)
    assert answer["exception"] is None
    assert [(f["check"], f["result"]) for f in answer["findings"]][:1] == [("application", result)]
    # What was probably meant is inspected too, so that one run tells all.
    assert ("cookie_secure" in [f["check"] for f in answer["findings"]]) == ("web:site" in fix)
    assert words in answer["findings"][0]["found"] and fix in answer["findings"][0]["fix"]


@pytest.mark.parametrize(("wsgi", "line"), [
    ("shop:app", 'wsgi: "web.shop:site" # or "tools:create_app()"'), ("tool:app", 'wsgi: "tools:create_app()" # or "web.shop:site"'),
])
def test_a_module_that_is_missing_is_told_with_those_that_have_an_application(host, wsgi, line, tmp_path):
    files = {"web/shop.py": FLASK.replace("app =", "site ="), "tools.py": "def create_app():\n    from web.shop import site\n    return site\n",
             "tests/app.py": FLASK, "make.py": "def create_app(config):\n    pass\n"}
    answer = host.program(f"modules-{tmp_path.name}", files, wsgi)
    assert (answer["findings"][0]["fix"], answer["exception"]) == (line, None)
    assert results(answer) > {"pass"}


def test_a_place_that_an_application_cannot_write_while_it_is_imported_is_told(host):
    code = FLASK + "app.config['DATABASE'] = 'data/app.db'\nraise OSError('unable to open database file')\n"
    answer = host.program("half-made", {"web.py": code}, "web:app", sealed=True)
    assert answer["exception"]["type"] == "OSError"
    assert [Path(place).name for place in answer["places"]] == ["app.db"]


def test_a_place_of_an_asgi_application_is_told(host):
    code = ("class App:\n    config, extensions = {'DATABASE': 'data/app.db'}, {}\n    async def __call__(self, scope, receive, send):\n"
            "        pass\n\n\napp = App()\n")
    answer = host.program("asgi-place", {"web.py": code}, "web:app", sealed=True)
    assert (answer["interface"], [Path(place).name for place in answer["places"]]) == ("asgi", ["app.db"])


def test_a_database_that_an_application_names_itself_is_told(host):
    code = "import sqlite3\n" + FLASK + ("for name in (':memory:', 'data/own.db', 'shipped.db'):\n    try:\n        sqlite3.connect(name)\n"
                                         "    except sqlite3.OperationalError:\n        pass\n")
    answer = host.program("own-database", {"web.py": code, "shipped.db": ""}, "web:app", sealed=True)
    assert [Path(place).name for place in answer["places"]] == ["own.db"]


def test_a_factory_that_lacks_an_argument_is_an_exception(host):
    code = "def make(settings):\n    pass\n"
    answer = host.program("lacking", {"web.py": code}, "web:make()")
    assert answer["exception"]["type"] == "TypeError" and results(answer) == {"unknown"}


def test_every_application_below_a_dispatcher_is_looked_at(host):
    code = "from flask import Flask\nfrom werkzeug.middleware.dispatcher import DispatcherMiddleware\n" \
           'front, admin = Flask("front"), Flask("admin")\nadmin.debug = True\n' \
           'application = DispatcherMiddleware(front, {"/admin": admin, "/metrics": lambda environ, start_response: []})\n'
    answer = host.program("mounted", {"web.py": code}, "web")
    assert [f["found"].split(":")[0] for f in answer["findings"] if f["check"] == "debug_mode"] == ["front", "admin"]
    assert [f["result"] for f in answer["findings"] if f["check"] == "debug_mode"] == ["pass", "error"]


@pytest.mark.parametrize("wrapping", [
    "application = ProxyFix(app, x_for=1, x_proto=1, x_host=1)",
    "application = ProxyFix(app.wsgi_app, x_for=1, x_proto=1, x_host=1)",
    "def timed(inner):\n    def call(environ, start_response):\n        return inner(environ, start_response)\n    return call\n"
    "app.wsgi_app = timed(ProxyFix(app.wsgi_app, x_for=1, x_proto=1, x_host=1))\napplication = app",
    "inner = ProxyFix(app, x_for=1, x_proto=1, x_host=1)\napplication = functools.partial(inner)",
    "class Own:\n    __slots__ = ('app',)\n    def __init__(self, app):\n        self.app = app\n"
    "    def __call__(self, environ, start_response):\n        return self.app(environ, start_response)\n"
    "application = Own(ProxyFix(app, x_for=1, x_proto=1, x_host=1))",
])
def test_the_layers_around_an_application_are_found(host, wrapping, tmp_path):
    code = f"import functools\nfrom werkzeug.middleware.proxy_fix import ProxyFix\n{FLASK}{wrapping}\n"
    answer = host.program(f"layers-{tmp_path.name}", {"web.py": code}, "web:application")
    assert [f["found"] for f in answer["findings"] if f["check"] == "proxy_hops"] == [
        "x_host=1, but nginx sends no X-Forwarded-Host; without nginx, clients choose it"]


def test_a_function_that_calls_an_application_leads_to_it(host):
    code = FLASK + "app.debug = True\n\n\ndef application(environ, start_response):\n    return app(environ, start_response)\n"
    assert seen(host.program("calling", {"web.py": code}, "web"))["debug_mode"] == "error"


# --- applications that behave badly ---------------------------------------------------------------


def test_output_of_the_application_does_not_damage_the_report(host):
    code = f"import os\nprint('hello')\nos.write(1, b'raw')\nos.system('echo shell')\n{FLASK}print('bye', flush=True)\n"
    assert host.program("printing", {"web.py": code}, "web:app")["exception"] is None


def test_an_application_that_crashes_is_reported_with_its_place_and_without_values(host):
    code = "import os; url = os.environ['FLASK_DATABASE_URL']\n" \
        "raise RuntimeError(f'cannot log in with {url} ' + os.environ['APP'] + f' as {url[16:-8]}')\n"
    canary = "canary-6Zq8vJ2nXw"
    answer = host.program("crashing", {"web.py": code}, "web:app",
                          {"FLASK_DATABASE_URL": f"postgres://shop:{canary}@db/shop", "APP": json.dumps({"inner_token": [canary + "-2"]})})
    assert answer["exception"]["type"] == "RuntimeError" and "postgres://shop:[FLASK_DATABASE_URL]@db/shop" in answer["exception"]["text"]
    assert "web.py:2 in <module>" in answer["exception"]["traceback"]
    assert canary not in json.dumps(answer)
    assert [(f["check"], f["result"]) for f in answer["findings"]] == [("application", "unknown")]


def test_an_application_that_exits_is_reported(host):
    answer = host.program("exiting", {"web.py": "import sys\nsys.exit('MAIL_SERVER is not set')\n"}, "web:app")
    assert answer["exception"] == {**answer["exception"], "type": "SystemExit", "text": "the application called sys.exit: MAIL_SERVER is not set"}
    assert results(answer) == {"unknown"}


def test_a_missing_module_is_reported(host):
    answer = host.program("missing", {"web.py": "import not_installed_here\n"}, "web:app")
    assert answer["exception"]["type"] == "ModuleNotFoundError" and "not_installed_here" in answer["exception"]["text"]


def test_no_view_runs(host):
    code = FLASK + "import os\n\n\n@app.route('/<int:n>', methods=['GET', 'POST', 'DELETE'])\ndef view(n):\n    os.mkdir('ran')\n    return ''\n" \
                   "\n\n@app.before_request\ndef before():\n    os.makedirs('before', exist_ok=True)\n"
    host.program("viewing", {"web.py": code}, "web:app")
    assert (host.root / "viewing/before").exists() and not (host.root / "viewing/ran").exists()


def test_routes_of_every_kind_are_tried(host):
    code = FLASK + "from flask_wtf import CSRFProtect\nCSRFProtect(app)\n" \
        "for n, path in enumerate(['/<uuid:u>', '/<float:f>', '/<path:p>', '/<any(a,b):x>', '/<string(length=4):s>', '/<int(min=7):i>']):\n" \
        "    app.add_url_rule(f'/{n}{path}', f'e{n}', lambda **_: '', methods=['POST'])\n"
    answer = host.program("kinds", {"web.py": code}, "web:app")
    assert "6 routes were tried" in next(f["found"] for f in answer["findings"] if f["check"] == "csrf_protection")


def test_thousands_of_routes_are_looked_at_in_time(host):
    code = FLASK + "from flask_wtf import CSRFProtect\nCSRFProtect(app)\n" \
        "for n in range(3000):\n    app.add_url_rule(f'/{n}', f'e{n}', lambda: '', methods=['GET', 'POST'])\n"
    answer = host.program("thousands", {"web.py": code}, "web:app")
    assert "3000 routes were tried" in next(f["found"] for f in answer["findings"] if f["check"] == "csrf_protection")


@pytest.mark.parametrize(("handler", "told"), [
    ("app.register_error_handler(500, lambda error: (str(error.original_exception), 500))", ["the page for a failure shows the exception's text"]),
    ("parts[0].register_error_handler(Exception, lambda error: (repr(error), 200))",
     ["the page for a failure shows the exception's text, the exception's type (blueprint b0)",
      "no monitoring sees a failure: it has the status 200 (blueprint b0)"]),
])
def test_blueprints_with_the_same_error_page_are_one_finding(host, handler, told):
    code = FLASK + ("from flask import Blueprint\nparts = [Blueprint(f'b{n}', 'web') for n in range(9)]\nfor n, part in enumerate(parts):\n"
                    f"    part.add_url_rule(f'/b{{n}}', 'page', lambda: 'x')\n{handler}\nfor part in parts:\n    app.register_blueprint(part)\n")
    answer = host.program(f"blueprints-{len(told)}", {"web.py": code}, "web:app")
    assert [one["found"] for one in answer["findings"] if one["check"] == "error_pages" and one["result"] != "pass"] == told


def test_an_error_page_has_what_is_set_before_a_request(host):
    code = FLASK + ("from flask import g, redirect\n\n\n@app.get('/x')\ndef other():\n    return ''\n\n\n@app.before_request\ndef ask():\n"
                    "    g.theme = 'plain'\n    return redirect('/login')\n\n\n@app.errorhandler(500)\ndef failed(error):\n    return g.theme, 500\n")
    assert "error_pages" not in seen(host.program("theme", {"web.py": code}, "web:app"))


def test_error_pages_are_seen_behind_a_login(host):
    code = FLASK + "from flask import abort\nimport traceback\n\n\n@app.get('/')\ndef view():\n    return ''\n" \
        "\n\n@app.before_request\ndef login():\n    abort(401)\n" \
        "\n\n@app.errorhandler(500)\ndef failed(error):\n    return repr(error.original_exception), 500\n"
    assert seen(host.program("login", {"web.py": code}, "web:app"))["error_pages"] == "error"


def test_no_secret_is_in_the_report(host):
    canary = "Canary9vJ2nXwT5sQ"
    env = {"FLASK_SECRET_KEY": f"{canary}-0-" + "x7" * 12, "FLASK_MAIL_PASSWORD": canary + "-1", "OTHER": canary + "-2"}
    code = FLASK + "import os\nfrom flask import session\napp.config.from_prefixed_env()\napp.config['API_TOKEN'] = 'Canary' + '9vJ2nXwT5sQ-3'\n" \
        "\n\n@app.post('/', endpoint=os.environ['OTHER'])\ndef view():\n    return ''\n" \
        "\n\n@app.errorhandler(500)\ndef failed(error):\n    return str(dict(app.config)), 500\n\n\n@app.get('/x')\ndef other():\n    return ''\n"
    answer = host.program("canary", {"web.py": code}, "web:app", env)
    assert canary not in json.dumps(answer)
    assert "[OTHER] (POST)" in next(f["found"] for f in answer["findings"] if f["check"] == "csrf_protection")
    assert any("shows the configuration, a secret value" in f["found"] for f in answer["findings"])


def test_a_domain_that_redirects_is_not_demanded(host):
    code = f"{FLASK}app.config['TRUSTED_HOSTS'] = ['shop.example.com']\n"
    assert "trusted_hosts" not in seen(host.program("canonical-alone", {"web.py": code}, "web:app"))


def test_a_domain_that_is_left_out_is_told_with_the_line_to_write(host):
    code = f"{FLASK}app.config['TRUSTED_HOSTS'] = ['localhost']\n"
    (finding, _more) = [f for f in host.program("left-out", {"web.py": code}, "web:app", domains=["shop.example.com", "*.shop.example.com",
                                                                                                  "www.example.com"])["findings"]
                        if f["check"] == "trusted_hosts"]
    assert finding["result"] == "error" and "under shop.example.com, .shop.example.com, which" in finding["found"]
    assert finding["fix"] == 'config: {TRUSTED_HOSTS: ["shop.example.com", ".shop.example.com"]}'


def test_settings_that_an_old_flask_ignores_are_reported(host):
    metadata = "Metadata-Version: 2.1\nName: Flask\nVersion: 3.0.3\n"
    code = f"{FLASK}app.config.update(SECRET_KEY_FALLBACKS=['7d865e959b2466918c9863afca942d0f'], TRUSTED_HOSTS=['shop.example.com'])\n"
    answer = host.program("old-flask", {"web.py": code, "flask-3.0.3.dist-info/METADATA": metadata}, "web:app")
    finding = [f["found"] for f in answer["findings"] if f["result"] == "warning" and f["found"].startswith("Flask 3.0.3 does not read")]
    assert [text.split()[5].rstrip(":") for text in finding] == ["SECRET_KEY_FALLBACKS", "TRUSTED_HOSTS"]


def test_routes_no_url_leads_to_are_not_passed_silently(host):
    code = FLASK + "from flask import session\nfrom werkzeug.routing import BaseConverter\n\n\nclass Picky(BaseConverter):\n    def to_url(self, value):\n" \
        "        raise LookupError(value)\n\n\napp.url_map.converters['picky'] = Picky\n" \
        "\n\n@app.before_request\ndef guard():\n    return '', 403\n\n\n@app.post('/<picky:x>')\ndef view(x):\n    return ''\n"
    answer = host.program("picky", {"web.py": code}, "web:app")
    assert [f["found"] for f in answer["findings"] if f["check"] == "csrf_protection"] == ["could not be tried: view (POST)"]


def test_a_source_too_large_to_search_is_not_passed_silently(host):
    source = host.root / "large"
    source.mkdir()
    with open(source / "dump.sql", "wb") as stream:
        stream.truncate(200 * 2**20)
    assert seen(host.program("large", {"web.py": FLASK}, "web:app"))["secret_key_in_source"] == "unknown"


def test_a_check_that_fails_is_unknown_and_shows_no_value(host):
    code = "import os\nfrom flask import Flask\n\n\nclass Odd(Flask):\n    @property\n    def jinja_env(self):\n" \
        "        raise ValueError(os.environ['FLASK_SECRET_KEY'])\n\n\napp = Odd(__name__)\n"
    answer = host.program("odd", {"web.py": code}, "web:app")
    assert "the check itself failed: ValueError at web.py:8" in [f["found"] for f in answer["findings"] if f["check"] == "autoescape"]
    assert seen(answer)["autoescape"] == "unknown" and "body_limit" in seen(answer)


def test_the_templates_of_a_loader_that_needs_a_request_are_read(host):
    code = FLASK + "from flask import request\nfrom jinja2 import DictLoader\n\n\nclass Themes(DictLoader):\n    def list_templates(self):\n" \
        "        return [name for name in super().list_templates() if request.host]\n\n\n" \
        "app.jinja_loader = Themes({'a.html': '{% autoescape false %}{{ a }}{% endautoescape %}'})\napp.config['TRUSTED_HOSTS'] = ['shop.example.com']\n"
    answer = host.program("themes", {"web.py": code}, "web:app")
    assert "autoescape is switched off in a.html:1" in [f["found"] for f in answer["findings"] if f["check"] == "autoescape"]


def test_trying_the_error_page_raises_no_alarm(host):
    code = FLASK + "import logging\napp.logger.addHandler(logging.FileHandler('alarm', delay=True))\n\n\n@app.get('/')\ndef view():\n    return ''\n"
    assert "error_pages" not in seen(host.program("alarm", {"web.py": code}, "web:app"))
    assert not (host.root / "alarm/alarm").exists()


def test_a_program_that_the_application_starts_does_not_keep_the_inspector(host):
    code = f"import atexit, threading, time\n{FLASK}threading.Thread(target=time.sleep, args=(300,)).start()\natexit.register(time.sleep, 300)\n"
    assert host.program("threads", {"web.py": code}, "web:app")["exception"] is None


def test_the_command_line_is_not_the_applications(host):
    code = f"import argparse\nargparse.ArgumentParser().parse_args()\n{FLASK}"
    assert host.program("arguments", {"web.py": code}, "web:app")["exception"] is None


@pytest.mark.parametrize(("code", "obstacle"), [
    ("import logging, os\nlogging.basicConfig(filename='app.log')\nos.system('true')\n", None),
    ("import threading\nthreading.Timer(0.1, print).start()\n", None),
    ("import threading, time\nthreading.Thread(target=time.sleep, args=(300,), daemon=True).start()\n", "the import starts a thread"),
    ("import subprocess\nchild = subprocess.Popen(['sleep', '5'])\n", "the import starts a process"),
    ("import socket\nconnection = socket.socket()\n", "the import opens a socket"),
    ("import os\nends = os.pipe()\n", "the import opens a pipe"),
    ("import sqlite3\ndb = sqlite3.connect('shop.db')\ndb.execute('CREATE TABLE a (b)')\n", "the import opens {folder}/shop.db"),
    ("places = open('web.py')\n", "the import opens {folder}/web.py"),
    ("import random\ndice = random.Random()\n", "the import makes a random.Random, whose numbers every worker would repeat"),
    ("import sys, types\nsys.modules['numpy'] = types.ModuleType('numpy')\n", "the import loads numpy"),
])
def test_what_forked_workers_would_share_is_told(host, code, obstacle):
    name = f"forked-{zlib.crc32(code.encode())}"
    answer = host.program(name, {"web.py": code + FLASK}, "web:app")
    assert answer["exception"] is None
    assert answer["obstacles"] == ([obstacle.format(folder=host.root / name)] if obstacle else [])


def test_nothing_is_told_of_the_workers_of_an_application_that_cannot_be_imported(host):
    assert host.program("broken", {"web.py": "raise ValueError\n"}, "web:app")["obstacles"] is None
