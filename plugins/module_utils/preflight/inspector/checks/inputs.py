"""Inputs of the application: body sizes, files, JSON."""

from __future__ import annotations

from typing import Any

from ansible_collections.bulwark.flask.plugins.module_utils.preflight.inspector.model import Seen, check
from ansible_collections.bulwark.flask.plugins.module_utils.preflight.inspector.source import listed

ALLOW_LISTS = ("UPLOAD_EXTENSIONS", "ALLOWED_EXTENSIONS", "UPLOAD_ALLOWED_EXTENSIONS", "ALLOWED_UPLOAD_EXTENSIONS")
VALIDATORS = {"marshmallow": "marshmallow", "flask_marshmallow": "marshmallow", "webargs": "webargs", "flask_smorest": "flask-smorest",
              "apiflask": "APIFlask", "wtforms": "WTForms", "pydantic": "pydantic", "jsonschema": "jsonschema",
              "flask_pydantic": "pydantic", "msgspec": "msgspec", "cerberus": "Cerberus", "voluptuous": "voluptuous", "cattrs": "cattrs"}


@check("MAX_CONTENT_LENGTH is the web server's limit", "warning", "nginx limits bodies already; another limit here gives clients two",
       "MAX_CONTENT_LENGTH = {body_max_mb} * 1024 * 1024")
def body_limit(subject: Any) -> Seen:
    limit, megabytes = subject.config.get("MAX_CONTENT_LENGTH"), subject.question.get("body_max_mb")
    if limit is None:
        yield "warning", "MAX_CONTENT_LENGTH is not set"
    elif not isinstance(limit, int) or isinstance(limit, bool):
        yield "warning", f"{subject.kind_of_setting('MAX_CONTENT_LENGTH')}, which must be a number of bytes"
    elif megabytes and limit != megabytes * 2**20:
        yield "warning", f"MAX_CONTENT_LENGTH is {limit} bytes, the web server's body_max_mb {megabytes * 2**20}"
    else:
        yield "pass", f"MAX_CONTENT_LENGTH is {limit} bytes"


@check("MAX_FORM_MEMORY_SIZE is set", "warning", "the fields of a form are held in memory", "MAX_FORM_MEMORY_SIZE = 500_000")
def form_memory(subject: Any) -> Seen:
    name = "MAX_FORM_MEMORY_SIZE"  # a setting since Flask 3.1; before, an attribute of requests
    limit = subject.config[name] if name in subject.config and subject.flask_numbers >= (3, 1, 0) else getattr(
        subject.app.request_class, "max_form_memory_size", None)
    if limit is None:
        yield "warning", f"{name} is None"
    elif not isinstance(limit, int):
        yield "warning", f"{subject.kind_of_setting(name)}, which must be a number of bytes"
    else:
        yield "pass", f"{name} is {limit} bytes"


@check("an application that takes files lists the extensions it takes", "warning",
       "an uploaded page or script runs with this site's rights when it is served",
       'UPLOAD_EXTENSIONS = [".jpg", ".png"], compared with the name\'s suffix; or FileAllowed in a form')
def upload_types(subject: Any) -> Seen:
    places = subject.source.request.get("files", [])
    forms = {"FileField", "MultipleFileField"} & subject.source.names
    if not places and not forms:
        yield "pass", "no view takes files"
    elif not any(subject.config.get(name) for name in ALLOW_LISTS) and not {*ALLOW_LISTS, "FileAllowed"} & subject.source.names:
        yield "warning", f"files are read in {listed(places) or 'forms'}, and no list of allowed extensions was found"
    else:
        yield "pass", f"files are read in {listed(places) or 'forms'}, and there is a list of allowed extensions"


@check("an application that reads JSON has a library that validates it", "warning", "values of unexpected types and unknown keys reach the code",
       "Schema().load(request.get_json()), with marshmallow")
def input_validation(subject: Any) -> Seen:
    places = [*subject.source.request.get("get_json", []), *subject.source.request.get("json", [])]
    used = sorted({VALIDATORS[name] for name in subject.source.imports & set(VALIDATORS)}
                  | ({"Flask-WTF"} if "FlaskForm" in subject.source.names else set()))
    if not subject.unsafe or not places:
        yield "pass", "no route that changes something reads JSON"
    elif not used:
        yield "warning", f"JSON is read in {listed(places)}, and the code imports no library that validates it"
    else:
        yield "pass", f"the code imports {', '.join(used)}; the inspection cannot see whether every view uses it"
