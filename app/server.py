"""The web server: gunicorn with threads, configured here and nowhere else.

gunicorn's own command would put the current folder on the import path and read a `gunicorn.conf.py` found there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gunicorn.app.base import BaseApplication

from core.settings import settings
from core.supervisor import die_with

if TYPE_CHECKING:
    from apiflask import APIFlask

KEEP_ALIVE_S = 75  # longer than clients and proxies keep an idle connection, so that none is ended under a request
THREADS = 16  # a page that follows a job holds one


class Server(BaseApplication):  # type: ignore[misc]  # gunicorn has no types
    """gunicorn on the address that the settings name."""

    def load_config(self) -> None:
        for name, value in _options().items():
            self.cfg.set(name, value)

    def load(self) -> APIFlask:
        """The app, made in each of gunicorn's workers."""
        from app import create_app

        return create_app()


def _options() -> dict[str, Any]:
    return {
        "bind": f"{settings().host}:{settings().port}",
        "workers": settings().web_workers,
        "worker_class": "gthread",
        "threads": THREADS,
        "graceful_timeout": 3,
        "timeout": 120,
        "keepalive": KEEP_ALIVE_S,
        "control_socket_disable": True,
        "post_fork": lambda master, worker: die_with(master.pid),
    }


def serve() -> int:
    """Serve until told to stop; returns the exit status."""
    Server().run()
    return 0
