"""Returns the types and digests of values in the process, never the values."""

import hashlib
import json
import os
from pathlib import Path

from flask import Flask

app = Flask(__name__)
app.config.from_prefixed_env()


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@app.get("/")
def arrived() -> dict:
    """Everything under a name that begins with PROBE, and every credential."""
    folder = os.environ.get("CREDENTIALS_DIRECTORY")
    return {
        "config": {name: [type(value).__name__, digest(json.dumps(value, sort_keys=True).encode())]
                   for name, value in app.config.items() if name.startswith("PROBE")},
        "env": {name: digest(os.fsencode(value)) for name, value in os.environ.items() if name.startswith("PROBE")},
        "credentials": {path.name: digest(path.read_bytes()) for path in Path(folder).iterdir()} if folder else {},
        "neighbours": [str(path) for path in Path("/run/credentials").glob("*/*") if not str(path).startswith(f"{folder}/")],
    }
