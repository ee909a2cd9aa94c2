"""An application that was taken over: it runs the program that a client sends, and returns what the program prints."""

from __future__ import annotations

import io
import os
import traceback
from contextlib import redirect_stdout

from flask import Flask, request

IMPORTED_IN = os.getpid()
app = Flask(__name__)
app.config.from_prefixed_env()


@app.get("/healthz")
def healthz() -> dict[str, str]:
    """It is always well."""
    return {"status": "ok"}


@app.post("/run")
def run() -> tuple[str, int]:
    """Run a program in the worker."""
    printed = io.StringIO()
    try:
        with redirect_stdout(printed):
            exec(compile(request.get_data(as_text=True), "sent", "exec"), {"__name__": "sent", "IMPORTED_IN": IMPORTED_IN})  # noqa: S102  # that is its purpose
    except BaseException:  # noqa: BLE001  # also SystemExit
        return traceback.format_exc(), 500
    return printed.getvalue(), 200
