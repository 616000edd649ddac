"""A UNet in two parts: the deep one, whose features change slowly from step to step, and the shallow one around it.

The deep feature is what enters the last layer of the last up block (as in DeepCache, Ma et al., CVPR 2024,
arXiv:2312.00858): all the lower resolutions, and the layers before. Shallow are the first convolution, that last layer
and the output. Both parts are diffusers' own modules with their own weights, so the split is exact: the shallow part
over the features of the same step answers what the whole does, bit for bit.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import torch
from diffusers import UNet2DConditionModel
from torch import Tensor, nn

from workers.pipelines.compiling import sharing_weights

MASKED = -10000.0  # what diffusers adds to the attention scores of tokens that a mask leaves out


class ShallowUNet(nn.Module):
    """The shallow part, called as the UNet it is of. `deep` [m, C, h, w] is set before each call."""

    def __init__(self, net: Any) -> None:
        super().__init__()
        self.net = net
        self.block: Any = sharing_weights(net.up_blocks[-1])
        self.block.resnets = self.block.resnets[-1:]
        if attentions := getattr(self.block, "attentions", None):
            self.block.attentions = attentions[-1:]
        self.deep: Tensor | None = None

    @property
    def config(self) -> Any:
        return self.net.config

    def forward(
        self,
        sample: Tensor,
        timestep: Tensor,
        encoder_hidden_states: Tensor,
        encoder_attention_mask: Tensor | None = None,
        timestep_cond: Tensor | None = None,
        added_cond_kwargs: dict[str, Tensor] | None = None,
        return_dict: bool = True,
    ) -> Any:
        """As `UNet2DConditionModel.forward` does from its start to its first and from its last layer to its end."""
        net, states, deep = self.net, encoder_hidden_states, self.deep
        assert deep is not None
        embedded = net.time_embedding(net.get_time_embed(sample=sample, timestep=timestep), timestep_cond)
        added = net.get_aug_embed(emb=embedded, encoder_hidden_states=states, added_cond_kwargs=added_cond_kwargs)
        embedded = embedded if added is None else embedded + added
        if net.time_embed_act is not None:
            embedded = net.time_embed_act(embedded)
        first = net.conv_in(sample)
        inputs = {"hidden_states": deep, "temb": embedded, "res_hidden_states_tuple": (first,)}
        if getattr(self.block, "has_cross_attention", False):
            inputs["encoder_hidden_states"] = net.process_encoder_hidden_states(states, added_cond_kwargs)
            inputs["encoder_attention_mask"] = _bias(encoder_attention_mask, sample)
        hidden = self.block(**inputs)
        if net.conv_norm_out:
            hidden = net.conv_act(net.conv_norm_out(hidden))
        output = net.conv_out(hidden)
        return SimpleNamespace(sample=output) if return_dict else (output,)


@contextmanager
def capturing(net: Any) -> Iterator[list[Tensor]]:
    """Whole forwards of the UNet meanwhile add their deep features [m, C, h, w] to the list."""
    last = net.up_blocks[-1].resnets[-1]
    captured: list[Tensor] = []
    skipped = net.conv_in.out_channels  # the last layer's input is the deep feature beside the first layer's output

    def keep(_: nn.Module, arguments: tuple[Any, ...]) -> None:
        captured.append(arguments[0][:, :-skipped])

    handle = last.register_forward_pre_hook(keep)
    try:
        yield captured
    finally:
        handle.remove()


def is_splittable(net: Any) -> bool:
    """Whether a denoiser is a UNet whose parts are known here."""
    if not isinstance(net, UNet2DConditionModel):
        return False
    config: Any = net.config  # type: ignore[attr-defined]
    plain = config.class_embed_type is None and config.addition_embed_type in (None, "text", "text_time")
    return plain and not config.center_input_sample and config.num_class_embeds is None


def _bias(mask: Tensor | None, like: Tensor) -> Tensor | None:
    """A mask [m, tokens] of ones and zeros as what is added to attention scores [m, 1, tokens]."""
    return None if mask is None else ((1 - mask.to(like.dtype)) * MASKED).unsqueeze(1)


def in_layout_of(features: Tensor, net: nn.Module) -> Tensor:
    """Features in the memory format of the network's first convolution, which is the fast one for it."""
    channels_last = net.conv_in.weight.is_contiguous(memory_format=torch.channels_last)  # type: ignore[union-attr, operator]
    return features.contiguous(memory_format=torch.channels_last if channels_last else torch.contiguous_format)
