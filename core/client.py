"""The REST API of a running Argus, for programs of this repository: one client, one way to read its errors."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import IO, Any, cast

import requests
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

from core.errors import ArgusError, ServiceDown, kinds
from core.settings import settings

TIMEOUT_S, UPLOAD_S = 60, 600
PAGE = 1000  # requests of a job read at a time

Line = dict[str, Any]  # a request as its job lists it


class ArgusClient:
    """The REST API at one address, a connection a thread. Errors it answers are raised with their code and message.

    `key` is what it sends where keys are demanded; ARGUS_API_KEY where none is given. What got no answer is sent again;
    a submission is done once all the same (`Idempotency-Key`).
    """

    def __init__(self, url: str, key: str = "") -> None:
        self.url, self._key = url.rstrip("/"), key or settings().api_key
        self._local = threading.local()

    def submit(self, body: dict[str, Any]) -> dict[str, Any]:
        """Hand in a job; returns its id, links and requests."""
        return self._json("POST", "/v1/jobs", json=body, headers={"Idempotency-Key": uuid.uuid4().hex})

    def upload(self, lines: Sequence[str], options: dict[str, Any]) -> dict[str, Any]:
        """Hand in a job as a file, a prompt a line as JSON; returns its id, links and first requests."""
        file = {"file": ("prompts.jsonl", "\n".join(lines).encode())}
        key = {"Idempotency-Key": uuid.uuid4().hex}
        return self._json("POST", "/v1/jobs/csv", data=options, files=file, headers=key, timeout=UPLOAD_S)

    def send_input(self, picture: bytes) -> str:
        """Send a picture to begin with, or a mask; returns its id for `image` or `mask` of a job."""
        return str(self._json("POST", "/v1/inputs", files={"file": ("picture", picture)}, timeout=UPLOAD_S)["id"])

    def cancel(self, job_id: str) -> dict[str, Any]:
        """Cancel what is open of a job; returns it as it stands then."""
        return self._json("DELETE", f"/v1/jobs/{job_id}")

    def move(self, name: str, asked: dict[str, Any], job_id: str | None = None) -> dict[str, Any]:
        """Cancel, pause, resume, retry or reorder what is asked for, of a job or of all; returns how many that were."""
        return self._json("POST", f"/v1/jobs/{job_id}/{name}" if job_id else f"/v1/requests/{name}", json=asked)

    def get(self, path: str) -> dict[str, Any]:
        """The JSON at a path such as `/v1/plan`."""
        return self._json("GET", path)

    def send(self, method: str, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """Send JSON to a path; returns the JSON of the answer."""
        return self._json(method, path, json=body, headers={"Idempotency-Key": uuid.uuid4().hex})

    def job(self, job_id: str, page: int = 1, per_page: int = 1) -> dict[str, Any]:
        """A job with its counts and one page of its requests."""
        return self.get(f"/v1/jobs/{job_id}?page={page}&per_page={per_page}")

    def lines(self, job_id: str) -> list[Line]:
        """All requests of a job, in order."""
        first = self.job(job_id, 1, PAGE)
        pages = range(2, -(-first["size"] // PAGE) + 1)
        return [*first["requests"], *(line for page in pages for line in self.job(job_id, page, PAGE)["requests"])]

    def image(self, image_id: str) -> bytes:
        """The PNG file of an image."""
        return self._call("GET", f"/v1/images/{image_id}").content

    @contextmanager
    def stream(self, path: str, query: dict[str, Any]) -> Iterator[IO[bytes]]:
        """An answer as a file that is read as it comes."""
        with self._call("GET", path, params=query, stream=True) as answer:
            yield cast(IO[bytes], answer.raw)

    def _json(self, method: str, path: str, **given: Any) -> dict[str, Any]:
        answer = self._call(method, path, **given)
        if "json" not in answer.headers.get("content-type", ""):
            raise ServiceDown(f"{answer.url} answered no JSON; that is not Argus, or it is broken.")
        return dict(answer.json())

    def _call(self, method: str, path: str, **given: Any) -> requests.Response:
        try:
            answer = self._session().request(method, self.url + path, **{"timeout": TIMEOUT_S, **given})
        except requests.RequestException as error:
            raise ServiceDown(f"Argus does not answer at {self.url} ({type(error).__name__}).") from None
        if answer.status_code >= 400:
            raise _as_error(answer)
        return answer

    def _session(self) -> requests.Session:
        if not hasattr(self._local, "session"):
            self._local.session = requests.Session()
            if self._key:
                self._local.session.headers["Authorization"] = f"Bearer {self._key}"
            again = Retry(
                total=3, backoff_factor=0.2, allowed_methods=["GET", "POST", "DELETE"], respect_retry_after_header=False
            )
            for scheme in ("http://", "https://"):
                self._local.session.mount(scheme, HTTPAdapter(max_retries=again))
        session: requests.Session = self._local.session
        return session


def _as_error(answer: requests.Response) -> ArgusError:
    """The error that Argus answered, with its own code."""
    try:
        told = answer.json()
        told = told if "detail" in told else {**told["error"], "detail": told["error"]["message"]}  # before version 0.2
        code, message, field = told["code"], told["detail"], told.get("field")
    except (ValueError, KeyError, TypeError, AttributeError):
        return ServiceDown(f"{answer.url} answered {answer.status_code}; that is not Argus, or it is broken.")
    kind = next((kind for kind in kinds() if kind.code == code), ArgusError)
    return kind(message, field=field)
