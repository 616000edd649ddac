"""A web app on a port of this machine, for commands that speak to one, with the family of the app's tests."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from flask.testing import FlaskClient
from werkzeug.serving import make_server

from tests.app.conftest import client, family, family_file

__all__ = ["client", "family", "family_file", "site"]


@pytest.fixture
def site(client: FlaskClient) -> Iterator[str]:
    """Its address."""
    server = make_server("127.0.0.1", 0, client.application, threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
