"""What each Python script says of a client: one line of JSON a feature. Runs in the client's environment."""

from __future__ import annotations

import json
import os
import time
import traceback
from collections.abc import Callable

URL = os.environ["ARGUS_URL"]


class Refused(Exception):
    """Argus answered 4xx, and the client shows this."""


def feature(name: str) -> Callable[[Callable[[], str]], Callable[[], str]]:
    """Run a function and print how it ended; what it returns says what was seen."""

    def tried(function: Callable[[], str]) -> Callable[[], str]:
        began = time.monotonic()
        try:
            outcome, detail = "works", function()
        except Refused as refusal:
            outcome, detail = "refused", str(refusal)
        except Exception as error:
            outcome, detail = "fails", f"{type(error).__name__}: {error}\n{traceback.format_exc()[-1500:]}"
        seconds = round(time.monotonic() - began, 2)
        print(json.dumps({"feature": name, "outcome": outcome, "detail": detail, "seconds": seconds}), flush=True)
        return function

    return tried


def expect(condition: object, what: str) -> None:
    """Fail with what was expected."""
    if not condition:
        raise AssertionError(f"expected {what}")


def size_of(data: bytes) -> tuple[int, int]:
    """Width and height of a PNG, from its header."""
    expect(data[:8] == b"\x89PNG\r\n\x1a\n", f"a PNG, got {data[:8]!r}")
    return int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big")
