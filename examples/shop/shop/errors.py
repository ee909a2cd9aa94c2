"""Errors as a page or as JSON, as the client accepts; the traceback is only in the log."""

from flask import Flask, render_template, request
from marshmallow import ValidationError
from werkzeug.exceptions import HTTPException, SecurityError
from werkzeug.wrappers import Response


def init_app(app: Flask) -> None:
    """Register the handlers. An unexpected exception reaches `http_error` as a 500, already logged."""
    app.register_error_handler(HTTPException, http_error)
    app.register_error_handler(ValidationError, invalid_input)


def http_error(error: HTTPException) -> Response | tuple[dict | str, int]:
    """Any 4xx or 5xx; a redirect passes as it is."""
    if error.code is None or error.code < 400:
        return error.get_response()
    if isinstance(error, SecurityError):  # a Host that is not trusted: no URL can be built under it
        return error.get_response()
    if request.path.startswith("/api/"):
        return {"error": error.name, "message": error.description}, error.code
    return render_template("error.html", error=error), error.code


def invalid_input(error: ValidationError) -> tuple[dict, int]:
    """Problems of the JSON in the request, by field."""
    return {"error": "Invalid input", "fields": error.normalized_messages()}, 422
