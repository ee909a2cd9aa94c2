"""Insecure variants of the examples, as data: each is one change, and must be caught by one check."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

INIT, PAGES, ERRORS = "shop/__init__.py", "shop/pages.py", "shop/errors.py"
END = "    return app\n"


@dataclass(frozen=True)
class Variant:
    """A copy of an example with text replaced in files, files added, or another environment or question."""

    name: str
    check: str
    result: str
    patches: dict[str, dict[str, str]] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
    env: dict[str, str | None] = field(default_factory=dict)
    question: dict[str, Any] = field(default_factory=dict)
    base: str = "shop"


def late(code: str) -> dict[str, dict[str, str]]:
    """Code at the end of the shop's factory."""
    return {INIT: {END: "".join(f"    {line}\n" for line in code.splitlines()) + END}}


def setting(name: str, value: str) -> dict[str, dict[str, str]]:
    """A setting at the end of the shop's factory."""
    return late(f'app.config["{name}"] = {value}')


def failing(code: str) -> dict[str, dict[str, str]]:
    """A line of code that answers failures in the shop's error handler."""
    line = "    if error.code is None"
    return {ERRORS: {line: f"    if error.code == 500:\n        {code}\n{line}"}}


# The shop itself refuses to start with bad keys; these variants are of an application that does not.
TRUSTING = {"shop/config.py": {"    if problems:": "    if False:"}}
OLD_FLASK = {"flask-3.1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: Flask\nVersion: 3.1.0\n"}
LONG_KEY = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"

SOCKETIO = late('app.extensions["socketio"] = type("SocketIO", (), {"async_mode": "threading"})()')
SIMPLE_WEBSOCKET = {"simple_websocket.py": ""}
VARIANTS = [
    Variant("debug", "debug_mode", "error", late("app.debug = True")),
    Variant("debug-as-text", "debug_mode", "error", env={"FLASK_DEBUG": "False"}),
    Variant("debug-in-env-alone", "debug_mode", "warning", late("app.debug = False"), env={"FLASK_DEBUG": "1"}),
    Variant("testing", "testing_mode", "error", setting("TESTING", "True")),
    Variant("propagate", "propagate_exceptions", "warning", setting("PROPAGATE_EXCEPTIONS", "True")),
    Variant("debugger", "debugger", "error", late("from werkzeug.debug import DebuggedApplication\n"
                                                  "app.wsgi_app = DebuggedApplication(app.wsgi_app, evalex=True)")),
    Variant("profiler", "debugger", "error", late("from werkzeug.middleware.profiler import ProfilerMiddleware\n"
                                                  "app.wsgi_app = ProfilerMiddleware(app.wsgi_app)")),
    Variant("key-missing", "secret_key", "error", TRUSTING, env={"FLASK_SECRET_KEY": None}),
    Variant("key-short", "secret_key", "error", TRUSTING, env={"FLASK_SECRET_KEY": "kR7_q9Zt"}),
    Variant("key-number", "secret_key", "error", TRUSTING, env={"FLASK_SECRET_KEY": "48151623421337"}),
    Variant("key-repeats", "secret_key", "error", TRUSTING, env={"FLASK_SECRET_KEY": "q7Zq7Zq7Zq7Zq7Zq7Zq7Zq7Zq7Zq7Zq7Zq7Z"}),
    Variant("key-counts", "secret_key", "error", TRUSTING, env={"FLASK_SECRET_KEY": "abcdefghijklmnopqrstuvwxyz0123456789"}),
    Variant("key-placeholder", "secret_key", "error", TRUSTING, env={"FLASK_SECRET_KEY": "please-change-me-before-you-go-live"}),
    Variant("key-of-a-manual", "secret_key", "error", TRUSTING,
            env={"FLASK_SECRET_KEY": "192b9bdd22ab9ed4d12e236c78afcb9a393ec15f71bbf5dc987d54727823bcbf"}),
    Variant("key-rather-short", "secret_key", "warning", TRUSTING, env={"FLASK_SECRET_KEY": "kR7_q9Zt-wX2vB5n-M3c"}),
    Variant("key-in-python", "secret_key_in_source", "error", files={"shop/local.py": 'OLD = "{KEY}"\n'}),
    Variant("key-in-a-dotenv", "secret_key_in_source", "error", files={".env": "FLASK_SECRET_KEY={KEY}\n"}),
    Variant("fallback-weak", "secret_key_fallbacks", "error", TRUSTING, env={"FLASK_SECRET_KEY_FALLBACKS": '["old-key"]'}),
    Variant("fallback-text", "secret_key_fallbacks", "error", TRUSTING, env={"FLASK_SECRET_KEY_FALLBACKS": f'"{LONG_KEY}"'}),
    Variant("fallback-unsafe-flask", "secret_key_fallbacks", "error", files=OLD_FLASK,
            env={"FLASK_SECRET_KEY_FALLBACKS": f'["{LONG_KEY}"]'}),
    Variant("cookie-plain", "cookie_secure", "error", setting("SESSION_COOKIE_SECURE", "False")),
    Variant("cookie-secure-as-text", "cookie_secure", "warning", setting("SESSION_COOKIE_SECURE", '"False"')),
    Variant("cookie-for-scripts", "cookie_httponly", "error", setting("SESSION_COOKIE_HTTPONLY", "False")),
    Variant("cookie-samesite-missing", "cookie_samesite", "warning", setting("SESSION_COOKIE_SAMESITE", "None")),
    Variant("cookie-samesite-none", "cookie_samesite", "error", setting("SESSION_COOKIE_SAMESITE", '"None"')),
    Variant("cookie-samesite-misspelt", "cookie_samesite", "error", setting("SESSION_COOKIE_SAMESITE", '"Lacks"')),
    Variant("cookie-long", "cookie_lifetime", "warning", setting("PERMANENT_SESSION_LIFETIME", "90 * 86400")),
    Variant("cookie-lifetime-as-text", "cookie_lifetime", "warning", setting("PERMANENT_SESSION_LIFETIME", '"12 hours"')),
    Variant("cookie-without-prefix", "cookie_name", "warning", setting("SESSION_COOKIE_NAME", '"session"')),
    Variant("cookie-that-browsers-refuse", "cookie_name", "error", setting("SESSION_COOKIE_DOMAIN", '"example.com"')),
    Variant("store-redis-without-password", "session_store", "warning", late(
        "import redis\nfrom flask_session.redis import RedisSessionInterface\n"
        # Nothing listens there: by default the client would try again for seconds.
        "from redis.backoff import NoBackoff\nfrom redis.retry import Retry\n"
        "app.session_interface = RedisSessionInterface(app, client=redis.Redis(retry=Retry(NoBackoff(), 0)))")),
    Variant("store-redis-shared-password", "session_store", "warning", late(
        "import redis\nfrom flask_session.redis import RedisSessionInterface\n"
        'app.session_interface = RedisSessionInterface(app, client=redis.from_url("unix://:" + app.config["SECRET_KEY"] + "@/run/redis.sock"))')),
    Variant("store-open-directory", "session_store", "warning", late(
        "import os\nfrom cachelib import FileSystemCache\nfrom flask_session.cachelib import CacheLibSessionInterface\n"
        'place = os.environ["STATE_DIRECTORY"] + "/sessions"\nos.mkdir(place)\nos.chmod(place, 0o755)\n'
        "app.session_interface = CacheLibSessionInterface(app, client=FileSystemCache(place))")),
    Variant("store-directory-to-come", "session_store", "unknown", late(
        "from cachelib import SimpleCache\nfrom flask_session.cachelib import CacheLibSessionInterface\n"
        "cache = SimpleCache()\ncache._path = '/nonexistent/sessions'\n"
        "app.session_interface = CacheLibSessionInterface(app, client=cache)")),
    Variant("store-memcached", "session_store", "warning", late(
        "from cachelib import MemcachedCache\nfrom flask_session.cachelib import CacheLibSessionInterface\n"
        "app.session_interface = CacheLibSessionInterface(app, client=MemcachedCache(object()))")),
    Variant("store-unknown", "session_store", "unknown", late(
        "from flask.sessions import SecureCookieSession, SessionInterface\n"
        "class Own(SessionInterface):\n"
        "    def open_session(self, app, request):\n        return SecureCookieSession()\n"
        "    def save_session(self, app, session, response):\n        pass\n"
        "app.session_interface = Own()")),
    Variant("csrf-missing", "csrf_protection", "error", {INIT: {"    csrf.init_app(app)": "    # csrf.init_app(app)"}}),
    Variant("csrf-off", "csrf_protection", "error", setting("WTF_CSRF_ENABLED", "False")),
    Variant("csrf-not-by-default", "csrf_protection", "error", setting("WTF_CSRF_CHECK_DEFAULT", "False")),
    Variant("csrf-without-put", "csrf_protection", "error", setting("WTF_CSRF_METHODS", '{"POST"}')),
    Variant("csrf-hook-taken-out", "csrf_protection", "error", late("app.before_request_funcs[None].clear()")),
    Variant("csrf-exempt-blueprint", "csrf_exemptions", "error", late("csrf.exempt(api.blueprint)")),
    Variant("csrf-exempt-view", "csrf_exemptions", "error", late("csrf.exempt(pages.review)")),
    Variant("form-without-token", "csrf_tokens_in_forms", "error", files={"shop/templates/contact.html": '<form method="post"><input name="text"></form>'}),
    Variant("body-unlimited", "body_limit", "warning", setting("MAX_CONTENT_LENGTH", "None")),
    Variant("body-as-text", "body_limit", "warning", setting("MAX_CONTENT_LENGTH", '"1 MiB"')),
    Variant("body-other-limit", "body_limit", "warning", question={"body_max_mb": 16}),
    Variant("form-unlimited", "form_memory", "warning", setting("MAX_FORM_MEMORY_SIZE", "None")),
    Variant("form-as-text", "form_memory", "warning", setting("MAX_FORM_MEMORY_SIZE", '"1 MiB"')),
    Variant("upload-of-anything", "upload_types", "warning", {PAGES: {
        "from flask import Blueprint": "from flask import request, Blueprint",
        "def _product_page(": "def _picture():\n    return request.files['picture']\n\n\ndef _product_page("}}),
    Variant("uploads-beside-the-code", "writable_places", "warning", setting("UPLOAD_FOLDER", '"uploads"'), question={"sealed": True}),
    Variant("uploads-where-nothing-is-written", "writable_places", "error", setting("UPLOAD_FOLDER", '"/dev/null/uploads"')),
    Variant("escape-off", "autoescape", "error", late("app.jinja_env.autoescape = False")),
    Variant("escape-other-suffix", "autoescape", "error", files={"shop/templates/mail.j2": "<p>{{ name }}"}),
    Variant("escape-text-with-tags", "autoescape", "warning", files={"shop/templates/mail.txt": "<p>{{ name }}"}),
    Variant("escape-off-for-strings", "autoescape", "error",
            late("from jinja2 import select_autoescape\napp.jinja_env.autoescape = select_autoescape(default_for_string=False)"),
            files={"shop/text.py": "from flask import render_template_string\n\n\ndef text(t, v):\n    return render_template_string(t, v=v)\n"}),
    Variant("escape-off-in-a-block", "autoescape", "error", {"shop/templates/cart.html": {
        "{% block": "{% autoescape false %}{% endautoescape %}{% block"}}),
    Variant("template-broken", "autoescape", "unknown", files={"shop/templates/broken.html": "\n{% if %}"}),
    Variant("safe-in-a-template", "unescaped_output", "warning", files={"shop/templates/about.html": "{{ text|safe }}"}),
    Variant("markup-of-a-variable", "unescaped_output", "warning", files={
        "shop/text.py": "from markupsafe import Markup\n\n\ndef text(value):\n    return Markup(value)\n"}),
    Variant("json-unchecked", "input_validation", "warning", {"minimal.py": {
        "from flask import Flask": "from flask import Flask, request\nfrom flask_wtf.csrf import CSRFProtect",
        '@app.get("/healthz")': 'CSRFProtect(app)\n\n\n@app.post("/note")\ndef note():\n    return request.get_json()["text"]\n\n\n@app.get("/healthz")'}},
        base="minimal"),
    Variant("proxy-unknown-to-the-application", "proxy_hops", "warning", {INIT: {"    app.wsgi_app = ProxyFix": "    ProxyFix"}}),
    Variant("proxy-one-too-many", "proxy_hops", "warning", {INIT: {"x_for=1": "x_for=2"}}),
    Variant("socketio-workers", "socketio_workers", "error", SOCKETIO, SIMPLE_WEBSOCKET, question={"workers": 0, "threads": 4}),
    Variant("socketio-threads", "socketio_workers", "warning", SOCKETIO, SIMPLE_WEBSOCKET, question={"workers": 1, "threads": 4}),
    Variant("socketio-polling", "socketio_workers", "warning", SOCKETIO, question={"workers": 1, "threads": 100}),
    Variant("socketio-gevent", "socketio_workers", "error", late('app.extensions["socketio"] = type("SocketIO", (), {"async_mode": "gevent"})()'),
            SIMPLE_WEBSOCKET, question={"workers": 1, "threads": 100}),
    Variant("proxy-one-too-few", "proxy_hops", "warning", question={"proxies": 2}),
    Variant("proxy-host-from-clients", "proxy_hops", "warning", {INIT: {"x_host=0": "x_host=1"}}),
    Variant("proxy-prefix-from-clients", "proxy_hops", "warning", {INIT: {"x_prefix=0": "x_prefix=1"}}),
    Variant("proxy-twice", "proxy_hops", "warning", late("app.wsgi_app = ProxyFix(app.wsgi_app)")),
    Variant("hosts-as-text", "trusted_hosts", "error", setting("TRUSTED_HOSTS", '"shop.example.com"')),
    Variant("hosts-any", "trusted_hosts", "warning", env={"FLASK_TRUSTED_HOSTS": None}),
    Variant("hosts-another", "trusted_hosts", "warning",
            env={"FLASK_TRUSTED_HOSTS": '["shop.example.com", "www.shop.example.com", "old.example.com"]'}),
    Variant("hosts-one-missing", "trusted_hosts", "error", env={"FLASK_TRUSTED_HOSTS": '["www.shop.example.com"]'}),
    Variant("error-traceback", "error_pages", "error", failing("import traceback; return traceback.format_exc(), 500")),
    Variant("error-text", "error_pages", "error", failing("return str(error.original_exception), 500")),
    Variant("error-type", "error_pages", "error", failing("return type(error.original_exception).__name__, 500")),
    Variant("error-path", "error_pages", "error", failing("return __file__, 500")),
    Variant("error-configuration", "error_pages", "error", failing("from flask import current_app; return ' '.join(current_app.config), 500")),
    Variant("error-secret", "error_pages", "error", failing("from flask import current_app; return current_app.secret_key, 500")),
    Variant("error-handler-fails", "error_pages", "error", failing("raise error")),
    Variant("error-answered-200", "error_pages", "warning", failing("return 'Sorry', 200")),
]
