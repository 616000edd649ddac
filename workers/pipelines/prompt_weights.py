"""Text encoders of CLIP read weighted words, as `compel` does it (https://github.com/damian0815/compel).

A token's state is moved away from that of the empty prompt by its weight; below 1 it is mixed with the states of the
prompt without those words. Words that all weigh 1 are read as ever.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor


def weighted_states(
    encoders: Sequence[tuple[Any, Any]], fragments: Sequence[tuple[str, float]], penultimate: bool
) -> Tensor:
    """States [tokens, width] of a prompt in fragments, each with its weight, side by side of all encoders.

    Args:
        encoders: tokenizer and text encoder, as the pipeline has them.
        penultimate: whether the denoiser reads the last layer but one, as SDXL's.
    """
    from compel import ReturnedEmbeddingsType
    from compel.embeddings_provider import EmbeddingsProvider

    kind = ReturnedEmbeddingsType
    read = kind.PENULTIMATE_HIDDEN_STATES_NON_NORMALIZED if penultimate else kind.LAST_HIDDEN_STATES_NORMALIZED
    texts, weights = [text for text, _ in fragments], [weight for _, weight in fragments]
    states = []
    for tokenizer, encoder in encoders:  # made anew: it keeps the empty prompt's states, which LoRAs change
        provider = EmbeddingsProvider(tokenizer, encoder, returned_embeddings_type=read)
        found = provider.get_embeddings_for_weighted_prompt_fragments([texts], [weights], device=encoder.device)
        states.append(found[0])
    return torch.cat(states, dim=-1)
