"""The text encoder: what it remembers changes nothing but the time."""

from __future__ import annotations

import torch

from core.text import REMEMBERED, TextEncoder


def test_a_remembered_prompt_has_the_same_states_and_sentence() -> None:
    prompts = ["a fox", "two teapots on a red background", "a fox", " ".join(["word"] * 60)]
    fresh, used = TextEncoder(), TextEncoder()
    sentences = fresh.sentences(prompts)
    states, mask = used.tokens(prompts)
    again, where = used.tokens(prompts)
    assert torch.equal(states, again)
    assert torch.equal(mask, where)
    assert torch.equal(states[0], states[2])
    torch.testing.assert_close(used.sentences(prompts), sentences, atol=1e-5, rtol=0)


def test_only_the_newest_prompts_are_remembered() -> None:
    encoder = TextEncoder()
    encoder.tokens(["a fox"])
    for start in range(0, REMEMBERED, 128):
        encoder.tokens([f"{number} foxes" for number in range(start, start + 128)])
    assert "a fox" not in encoder._known
    assert len(encoder._known) == REMEMBERED
    encoder.forget()
    assert not encoder._known
