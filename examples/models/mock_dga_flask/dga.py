"""A mock model for generated domains, with Flask: two domains are legit, and all others are malicious."""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path

from flask import Flask, request
from werkzeug.serving import WSGIRequestHandler, make_server

LEGIT = {"yahoo.com", "amazon.com"}

app = Flask(__name__)


@app.get("/apply")
def apply() -> dict[str, str]:
    """Classify a domain."""
    return {"is_malicious": "legit" if request.args.get("host") in LEGIT else "malicious"}


def announce(url: str) -> None:
    """Write endpoint.dat atomically, so that the runner never reads an incomplete file."""
    draft = Path("endpoint.dat.draft")
    draft.write_text(json.dumps({"url": url}))
    draft.replace("endpoint.dat")


if __name__ == "__main__":
    logging.getLogger("werkzeug").setLevel(logging.WARNING)  # no line per request
    WSGIRequestHandler.protocol_version = "HTTP/1.1"  # connections are reused
    host = os.environ.get("MODEL_HOST", "127.0.0.1")
    server = make_server(host, 0, app, threaded=True)
    announce(f"http://{host}:{server.port}")
    server.serve_forever()
