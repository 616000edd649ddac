"""The least that a submission could be: Flask, one row, one commit, in the server that Argus has.

python -m bench.post.empty PORT
"""

from __future__ import annotations

import sys
import uuid
from typing import Any

from flask import Flask, request
from sqlalchemy import text

from app.server import listening, make_server
from core.database import transaction

INSERT = text("INSERT INTO bench_empty (id, prompt) VALUES (:id, :prompt)")


def create_app() -> Flask:
    """An app with one address."""
    app = Flask("empty")

    @app.post("/empty")
    def take() -> Any:
        made = uuid.uuid4()
        with transaction() as session:
            session.execute(INSERT, {"id": made, "prompt": request.get_json()["prompt"]})
        return {"id": str(made)}, 202

    return app


if __name__ == "__main__":
    make_server(create_app(), listening("127.0.0.1", int(sys.argv[1]))).run()  # type: ignore[arg-type]
