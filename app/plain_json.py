"""JSON that is sent to us: read within bounds, with errors that say what is wrong."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from json import loads as _loads
from typing import Any

from flask.json.provider import DefaultJSONProvider

from core.errors import BadInput, TooLarge
from core.settings import settings

MOST_VALUES = 20  # a prompt of a submission, its options and what is between them
MOST_NAMES, NAME_CHARS = 200, 100  # of an object; no address takes half as many
WIDE_BYTES = 4_000_000
WIDE = (  # one of them, and Python takes four bytes for every character around it
    f"JSON of more than {WIDE_BYTES // 1_000_000} MB with characters beyond ASCII is not taken: split it, "
    "or send a file (`POST /v1/jobs/csv`)."
)


class PlainJson(DefaultJSONProvider):
    """The app's JSON, read by `loads`."""

    sort_keys = False

    def loads(self, s: str | bytes, **kwargs: Any) -> Any:
        """Parse; raises `BadInput`, `TooLarge`."""
        return loads(s, **kwargs)


def loads(s: str | bytes, place: str = "body", **kwargs: Any) -> Any:
    """Parse; raises `BadInput`, `TooLarge` before memory is taken for more values than any submission has.

    `place` is what errors call it.
    """
    if (values := _values(s)) > MOST_VALUES * settings().max_prompts:
        raise TooLarge(f"About {values:,} values in one {place}. Split it into several.", field=place)
    if len(s) > WIDE_BYTES and (b"\\u" in s if isinstance(s, bytes) and s.isascii() else True):
        raise TooLarge(WIDE, field=place)
    try:
        return _loads(s, object_pairs_hook=_once_each, **kwargs)
    except UnicodeDecodeError:
        raise BadInput(f"The {place} is not UTF-8.", field=place) from None
    except ValueError as error:
        raise BadInput(f"The {place} is not JSON: {error}.", field=place) from None
    except RecursionError:
        raise BadInput(f"The {place} is nested too deeply.", field=place) from None


def _values(text: str | bytes) -> int:
    """No fewer values than this JSON has."""
    marks: Sequence[Any] = ",[{" if isinstance(text, str) else (b",", b"[", b"{")
    return sum(text.count(mark) for mark in marks)


def _once_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object of a body; raises `BadInput` where a name stands twice, is very long, or is one of very many."""
    if len(pairs) > MOST_NAMES:
        raise BadInput(f"{len(pairs):,} names in one object; at most {MOST_NAMES} are taken.", field="body")
    found = dict(pairs)
    if any(len(name) > NAME_CHARS for name in found):
        raise BadInput(f"A name of more than {NAME_CHARS} characters.", field="body")
    if len(found) < len(pairs):
        twice = next(name for name, count in Counter(name for name, _ in pairs).items() if count > 1)
        raise BadInput(f"`{twice[:40]}` stands twice in one object.", field="body")
    return found
