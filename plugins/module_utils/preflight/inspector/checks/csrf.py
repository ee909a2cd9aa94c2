"""Requests that another site makes with a browser's credentials.

Such a request is sent, and must not reach a view; so every kind of protection is recognised.
"""

from __future__ import annotations

from typing import Any, Iterable

from ansible_collections.bulwark.flask.plugins.module_utils.preflight.inspector import forms
from ansible_collections.bulwark.flask.plugins.module_utils.preflight.inspector.model import Seen, check
from ansible_collections.bulwark.flask.plugins.module_utils.preflight.inspector.probe import Probe
from ansible_collections.bulwark.flask.plugins.module_utils.preflight.inspector.source import listed
from ansible_collections.bulwark.flask.plugins.module_utils.preflight.inspector.views import validates_a_form

ATTACKER = "https://attacker.invalid"
NO_LOGIN = (301, 302, 303, 307, 308, 401)  # how a request without a login is refused, with a token or without


def _flask_wtf(subject: Any) -> Any:
    """The CSRFProtect of the application, where it is in force."""
    extension = subject.app.extensions.get("csrf")
    known = any(base.__module__.startswith("flask_wtf") for base in type(extension).__mro__)
    hooks = subject.app.before_request_funcs.get(None, ())
    if not known or not any(str(getattr(hook, "__module__", "")).startswith("flask_wtf") for hook in hooks):
        return None
    return extension if subject.config.get("WTF_CSRF_ENABLED") and subject.config.get("WTF_CSRF_CHECK_DEFAULT") else None


def _exempt(subject: Any) -> set[str]:
    """The endpoints that Flask-WTF was told to leave out."""
    csrf = subject.app.extensions.get("csrf")
    views, blueprints = getattr(csrf, "_exempt_views", ()), getattr(csrf, "_exempt_blueprints", ())
    exempt = set()
    for endpoint, view in subject.app.view_functions.items():
        blueprint = endpoint.rpartition(".")[0]
        if (f"{getattr(view, '__module__', '')}.{getattr(view, '__name__', '')}" in views or blueprint and blueprint in blueprints
                or blueprint and subject.app.blueprints.get(blueprint) in blueprints):
            exempt.add(endpoint)
    return exempt


def _routes(pairs: Iterable[tuple]) -> str:
    return listed(f"{rule.endpoint} ({method})" for rule, method in pairs)


def _try(subject: Any, pairs: Iterable[tuple]) -> tuple:
    """Those routes that a cross-site request reaches, and those that could not be tried."""
    reached, untried = [], []
    in_force, methods = _flask_wtf(subject), set(subject.config.get("WTF_CSRF_METHODS") or ())
    cookie = f"{subject.config.get('SESSION_COOKIE_NAME') or 'session'}=x"
    with Probe(subject.app, subject.domains[0], subject.entry) as probe:
        for rule, method in pairs:
            response = probe.request(rule, method, Origin=ATTACKER, Referer=ATTACKER + "/", Sec_Fetch_Site="cross-site",
                                     Sec_Fetch_Mode="navigate", Cookie=cookie, Content_Type="application/x-www-form-urlencoded")
            if response is None:
                untried.append((rule, method))
            elif probe.reached or not (in_force and method in methods) and _refuses_own_site(probe, rule, method, response):
                reached.append((rule, method))
    return reached, untried


def _refuses_own_site(probe: Probe, rule: Any, method: str, response: Any) -> bool:
    """Whether a refusal is not about the other site: a request of this site is refused alike."""
    status = getattr(response, "status_code", 500)
    if status in NO_LOGIN or status >= 500:
        return True
    own = f"https://{probe.domain}"
    same = probe.request(rule, method, Origin=own, Referer=own + "/", Sec_Fetch_Site="same-origin")
    if probe.reached or same is None:
        return False
    safe = probe.request(rule, "GET", Sec_Fetch_Site="same-origin")  # 405 where the route takes no GET: before_request has run
    return getattr(safe, "status_code", 0) == status


@check("every route that changes something refuses requests of other sites", "error",
       "any site that a client opens could act in the client's name",
       "from flask_wtf.csrf import CSRFProtect; CSRFProtect(app), and a token in every form; or leave cross_site_requests at refuse")
def csrf_protection(subject: Any) -> Seen:
    if not subject.unsafe:
        yield "pass", "no route changes anything"
        return
    if not subject.credential_uses:
        yield "pass", f"{len(subject.unsafe)} routes change something; the application uses no cookie, session or password of HTTP"
        return
    exempt = _exempt(subject) if _flask_wtf(subject) is not None else set()
    kept = [(rule, method) for rule, method in subject.unsafe if rule.endpoint not in exempt]
    reached, untried = _try(subject, kept)
    checked = [pair for pair in reached if subject.config.get("WTF_CSRF_ENABLED", True)
               and validates_a_form(subject.app.view_functions[pair[0].endpoint], pair[1])]
    reached = [pair for pair in reached if pair not in checked]
    by_form = f"; {len(checked)} check the token of their form" if checked else ""
    if reached and subject.refuses_cross_site:
        yield "warning", f"only the deployment refuses a cross-site request to {_routes(reached)}{by_form}"
    elif reached:
        off = next((f"{name} is off; " for name in ("WTF_CSRF_ENABLED", "WTF_CSRF_CHECK_DEFAULT")
                    if "csrf" in subject.app.extensions and not subject.config.get(name, True)), "")
        yield "error", f"{off}a cross-site request reaches {_routes(reached)}{by_form}. Credentials: {listed(subject.credential_uses, 4)}"
    if untried and _flask_wtf(subject) is None:
        yield "unknown", f"could not be tried: {_routes(untried)}"
    elif not reached:
        yield "pass", f"{len(kept) - len(untried) - len(checked)} routes were tried as another site would and refused{by_form}"


@check("no route that changes something is exempt from CSRF protection", "error",
       "an exempt route accepts requests that other sites make in a client's name",
       "remove csrf.exempt, or waive the check with the reason why no session reaches the route")
def csrf_exemptions(subject: Any) -> Seen:
    exempt = _exempt(subject)
    left_out = [(rule, method) for rule, method in subject.unsafe if rule.endpoint in exempt]
    if not left_out or not subject.credential_uses:
        return
    if subject.refuses_cross_site:
        yield "warning", f"exempt, so that only the deployment refuses a cross-site request: {_routes(left_out)}"
    else:
        yield "error", f"exempt: {_routes(left_out)}"


@check("with CSRFProtect, every form in the templates has a token", "error", "a form without a token gets 400, which keeps every client out",
       '<input type="hidden" name="csrf_token" value="{{ csrf_token() }}"> inside the form, or {{ form.hidden_tag() }}')
def csrf_tokens_in_forms(subject: Any) -> Seen:
    if _flask_wtf(subject) is None or "POST" not in (subject.config.get("WTF_CSRF_METHODS") or ()):
        yield "pass", "CSRFProtect is not in force"
        return
    places = forms.without_token(subject.templates, _exempt(subject))
    script = forms.script_that_sends_a_token([subject.app.static_folder, *(blueprint.static_folder for blueprint in subject.app.blueprints.values())])
    if places and script:
        yield "pass", f"the script {script} sends the token of {listed(places)}"
    elif places:
        yield "error", f"a form with method POST and without a token: {listed(places)}"
