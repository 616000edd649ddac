"""The package `openai` on the app itself: its client, its types, no network between."""

from __future__ import annotations

import base64
import io
from typing import Any

import httpx2
from flask.testing import FlaskClient
from openai import OpenAI
from PIL import Image as Pictures


def openai_client(client: FlaskClient, **more: Any) -> OpenAI:
    """OpenAI's client, strict about the types of answers, calling the app of a test's client."""
    transport = httpx2.WSGITransport(app=client.application)
    http = httpx2.Client(transport=transport, base_url="http://localhost")
    options = {"max_retries": 0, "_strict_response_validation": True, **more}
    return OpenAI(base_url="http://localhost/v1", api_key="none", http_client=http, **options)


def picture_of(b64: str | None) -> Any:
    """The picture of an item."""
    picture = Pictures.open(io.BytesIO(base64.b64decode(b64 or "")))
    picture.load()
    return picture
