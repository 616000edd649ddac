"""Steady load: seeded submissions, sent again under the same `Idempotency-Key` until they are answered 202."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from random import Random
from typing import Any

import requests

from bench.chaos.ledger import Ledger, Promise, Refused

SENDERS = 24
TIMEOUT_S = 10.0
PATIENCE_S = 180.0  # with one submission
AGAIN_S = 1.0
TITLE = "chaos"
BATCH_SHARE, EXACT_SHARE, MORE_SHARE = 0.2, 0.2, 0.2  # of submissions: batch work, exact by name, three images
TEMPORARY = (429, 503, 504)


@dataclass(frozen=True)
class Wish:
    """A submission to come: seconds after the one before, number, body."""

    after_s: float
    number: int
    body: dict[str, Any]

    @property
    def urgent(self) -> bool:
        return "service_class" not in self.body


def wishes(prompts: Sequence[str], small: dict[str, int], per_minute: float, seed: int) -> Iterator[Wish]:
    """Poisson arrivals without end. `small` are size and steps of the images."""
    rng, number = Random(seed), 0
    while True:
        number += 1
        body: dict[str, Any] = {"prompt": rng.choice(prompts), "seed": rng.randrange(2**32), **small}
        body["title"] = f"{TITLE} {number}"
        if rng.random() < BATCH_SHARE:
            body["service_class"] = "batch"
        if rng.random() < EXACT_SHARE:
            body["level"] = "exact"
        if rng.random() < MORE_SHARE:
            body["n"] = 3
        yield Wish(rng.expovariate(per_minute / 60), number, body)


class Load:
    """Sends wishes in time from `start` to `stop`, in threads; what was promised goes into the ledger."""

    def __init__(self, url: str, coming: Iterator[Wish], ledger: Ledger) -> None:
        self.url, self.coming, self.ledger = url, coming, ledger
        self.answers: Counter[str] = Counter()  # by status, or by the error where none came
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="load")

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Send nothing new; returns when all that was sent is answered or given up."""
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        with ThreadPoolExecutor(SENDERS, thread_name_prefix="send") as pool:
            due = time.monotonic()
            for wish in self.coming:
                due += wish.after_s
                if self._over.wait(max(0.0, due - time.monotonic())):
                    return
                pool.submit(self._submit, wish)

    def _submit(self, wish: Wish) -> None:
        end, why = time.monotonic() + PATIENCE_S, ""
        while time.monotonic() < end:
            try:
                answer = self._post(wish)
            except requests.RequestException as error:
                why = type(error).__name__
                self.answers["none"] += 1
            else:
                if isinstance(answer, tuple):
                    return self.ledger.add(Promise(wish.number, answer, wish.urgent, time.time()))
                why = answer
                if int(answer[:3]) not in TEMPORARY:
                    break
            time.sleep(AGAIN_S)
        return self.ledger.add(Refused(wish.number, why, time.time()))

    def _post(self, wish: Wish) -> tuple[str, ...] | str:
        """The ids of an answer 202; of any other its status and text."""
        headers = {"Idempotency-Key": wish.body["title"]}
        answer = requests.post(f"{self.url}/v1/jobs", json=wish.body, headers=headers, timeout=TIMEOUT_S)
        self.answers[str(answer.status_code)] += 1
        if answer.status_code != 202:
            return f"{answer.status_code} {answer.text[:300]}"
        return tuple(line["id"] for line in answer.json()["requests"])
