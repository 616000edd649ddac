"""Messages as they are received: of this version of Argus, of the one before, or of a newer one.

While an Argus is upgraded, processes of two versions send each other messages. Fields that a kind does not know are
passed over, those that have a default may be missing. A message says in a header in which format it is; one whose
format is newer than what this process can read is put aside with the unreadable ones (`core/transport.py`), and what it
was about is found again by its row.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields
from typing import Any

from celery import Celery

from core.messages import FORMAT_HEADER, Message
from core.transport import put_aside


class NotReadable(Exception):
    """A message that this version of Argus cannot read; the text says why."""


def receive(app: Celery, kind: type[Message], work: Callable[..., object]) -> Any:
    """Have `work` done, with a message's fields by name, for every message of this kind; returns the task."""

    @app.task(name=kind.task, bind=True, shared=False)  # type: ignore[untyped-decorator]  # celery has no types
    def task(self: Any, *unnamed: Any, **given: Any) -> None:
        try:
            known = read(kind, int(self.request.get(FORMAT_HEADER) or 1), given)
        except NotReadable as error:
            text = json.dumps({"task": kind.task, "kwargs": given, "args": unnamed}, default=str)
            with app.connection_for_write() as connection:
                put_aside(connection.default_channel, text, error)
        else:
            work(**known)

    return task


def read(kind: type[Message], number: int, given: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a message in the format of this number, by name; raises `NotReadable`."""
    if number > kind.format:
        raise NotReadable(f"{kind.task} in format {number}, newer than {kind.format}")
    needed = {field.name for field in fields(kind) if field.default is MISSING and field.default_factory is MISSING}
    if missing := needed - set(given):
        raise NotReadable(f"{kind.task} without {', '.join(sorted(missing))}")
    known = {field.name for field in fields(kind)}
    return {name: value for name, value in given.items() if name in known}
