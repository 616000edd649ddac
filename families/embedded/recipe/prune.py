"""A smaller UNet cut out of a larger one: channels by magnitude (Li et al. 2017), the middle block as a whole.

After BK-SDM (Kim et al. 2023, §3): of `large` the second residuals that it drops first do not exist, so channels go
instead, then the middle block. A stream is a set of channels that several layers share: what one writes, others read.
Each stream keeps the channels into which most weight is written, the same number of every group of the group norms.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from families.embedded.codec import FACTOR
from families.embedded.recipe import nets

Cut = tuple[Tensor | None, Tensor | None]  # kept outputs and inputs of a layer; None keeps all
FINE, COARSE = 0, 1
# stream → (resolution, the layers that write into it)
STREAMS: dict[str, tuple[int, tuple[str, ...]]] = {
    "enter": (FINE, ("conv_in", "down_blocks.0.resnets.0.conv2")),
    "halved": (FINE, ("down_blocks.0.downsamplers.0.conv",)),
    "coarse": (COARSE, ("down_blocks.1.resnets.0.conv2", "down_blocks.1.resnets.0.conv_shortcut",
                        "down_blocks.1.attentions.0.proj_out", "mid_block.resnets.0.conv2",
                        "mid_block.attentions.0.proj_out", "mid_block.resnets.1.conv2")),
    "first": (COARSE, ("up_blocks.0.resnets.0.conv2", "up_blocks.0.resnets.0.conv_shortcut",
                       "up_blocks.0.attentions.0.proj_out")),
    "second": (COARSE, ("up_blocks.0.resnets.1.conv2", "up_blocks.0.resnets.1.conv_shortcut",
                        "up_blocks.0.attentions.1.proj_out")),
    "raised": (COARSE, ("up_blocks.0.upsamplers.0.conv",)),
    "third": (FINE, ("up_blocks.1.resnets.0.conv2", "up_blocks.1.resnets.0.conv_shortcut")),
    "last": (FINE, ("up_blocks.1.resnets.1.conv2", "up_blocks.1.resnets.1.conv_shortcut")),
}  # fmt: skip
# residual block → (the streams it reads, one after the other; the stream it writes)
RESNETS: dict[str, tuple[tuple[str, ...], str]] = {
    "down_blocks.0.resnets.0": (("enter",), "enter"),
    "down_blocks.1.resnets.0": (("halved",), "coarse"),
    "mid_block.resnets.0": (("coarse",), "coarse"),
    "mid_block.resnets.1": (("coarse",), "coarse"),
    "up_blocks.0.resnets.0": (("coarse", "coarse"), "first"),
    "up_blocks.0.resnets.1": (("first", "halved"), "second"),
    "up_blocks.1.resnets.0": (("raised", "enter"), "third"),
    "up_blocks.1.resnets.1": (("third", "enter"), "last"),
}
ATTENTIONS = {
    "down_blocks.1.attentions.0": "coarse",
    "mid_block.attentions.0": "coarse",
    "up_blocks.0.attentions.0": "first",
    "up_blocks.0.attentions.1": "second",
}
BLOCKS = {
    "down_blocks.0": "halved",
    "down_blocks.1": "coarse",
    "mid_block": "coarse",
    "up_blocks.0": "raised",
    "up_blocks.1": "last",
}


@dataclass(frozen=True)
class Pruned:
    """A smaller network, and for each of its blocks the teacher's channels that its own stand for."""

    network: Any
    blocks: dict[str, Tensor]


def prune(teacher: Any, widths: tuple[int, int], middle: bool = True) -> Pruned:
    """A UNet of `widths`, its weights those of `teacher` at the kept channels. Both are in float32."""
    config = teacher.config
    time_width = teacher.time_embedding.linear_1.out_features
    pixels = config.sample_size * FACTOR
    student = nets.unet(widths, config.in_channels, pixels, middle, time_width)
    weights = teacher.state_dict()
    kept = {name: _kept_of(weights, name, widths) for name in STREAMS}
    cuts = dict(_cuts(weights, kept, widths))
    state = {name: _slice(name, weights[name], cuts) for name in student.state_dict()}
    state |= _time_embedding(teacher, student)
    student.load_state_dict(state)
    return Pruned(student, {block: kept[stream] for block, stream in BLOCKS.items() if middle or block != "mid_block"})


def strongest(importance: Tensor, keep: int, groups: int = 1) -> Tensor:
    """Indices of the `keep` most important of a layer's channels, as many of each group, in order."""
    rows = importance.view(groups, -1).topk(keep // groups, dim=1).indices
    return (rows + torch.arange(groups)[:, None] * (len(importance) // groups)).flatten().sort().values


def _kept_of(weights: dict[str, Tensor], stream: str, widths: tuple[int, int]) -> Tensor:
    resolution, writers = STREAMS[stream]
    return strongest(sum(_written(weights[f"{name}.weight"]) for name in writers), widths[resolution], nets.GROUPS)  # type: ignore[arg-type]


def _written(weight: Tensor) -> Tensor:
    """Squared weight (out,) into each output."""
    return weight.flatten(1).square().sum(1)


def _read(weight: Tensor) -> Tensor:
    """Squared weight (in,) out of each input."""
    return _written(weight.transpose(0, 1))


def _cuts(weights: dict[str, Tensor], kept: dict[str, Tensor], widths: tuple[int, int]) -> Iterator[tuple[str, Cut]]:
    """What every layer keeps."""
    yield "conv_in", (kept["enter"], None)
    yield "down_blocks.0.downsamplers.0.conv", (kept["halved"], kept["enter"])
    yield "up_blocks.0.upsamplers.0.conv", (kept["raised"], kept["second"])
    yield "conv_norm_out", (kept["last"], None)
    yield "conv_out", (None, kept["last"])
    for name, (reads, writes) in RESNETS.items():
        yield from _resnet_cuts(weights, name, _joined(weights, kept, reads), kept[writes], widths[STREAMS[writes][0]])
    for name, stream in ATTENTIONS.items():
        yield from _attention_cuts(weights, name, kept[stream], widths[STREAMS[stream][0]])


def _joined(weights: dict[str, Tensor], kept: dict[str, Tensor], streams: tuple[str, ...]) -> Tensor:
    """Kept channels of streams that are concatenated."""
    before, rows = 0, []
    for stream in streams:
        rows.append(kept[stream] + before)
        before += len(weights[f"{STREAMS[stream][1][0]}.weight"])
    return torch.cat(rows)


def _resnet_cuts(
    weights: dict[str, Tensor], name: str, reads: Tensor, writes: Tensor, width: int
) -> Iterator[tuple[str, Cut]]:
    through = _written(weights[f"{name}.conv1.weight"]) * _read(weights[f"{name}.conv2.weight"])
    inner = strongest(through, width, nets.GROUPS)
    yield f"{name}.norm1", (reads, None)
    yield f"{name}.conv1", (inner, reads)
    yield f"{name}.time_emb_proj", (inner, None)
    yield f"{name}.norm2", (inner, None)
    yield f"{name}.conv2", (writes, inner)
    yield f"{name}.conv_shortcut", (writes, reads)


def _attention_cuts(weights: dict[str, Tensor], name: str, stream: Tensor, width: int) -> Iterator[tuple[str, Cut]]:
    block = f"{name}.transformer_blocks.0"
    inner = strongest(_written(weights[f"{name}.proj_in.weight"]) * _read(weights[f"{name}.proj_out.weight"]), width)
    hidden = strongest(_read(weights[f"{block}.ff.net.2.weight"]), 4 * width)
    wide = weights[f"{block}.ff.net.2.weight"].shape[1]
    yield f"{name}.norm", (stream, None)
    yield f"{name}.proj_in", (inner, stream)
    yield f"{name}.proj_out", (stream, inner)
    for norm in ("norm1", "norm2", "norm3"):
        yield f"{block}.{norm}", (inner, None)
    for attention, source in (("attn1", inner), ("attn2", None)):
        kept = _kept_heads(weights[f"{block}.{attention}.to_out.0.weight"], width)
        yield f"{block}.{attention}.to_q", (kept, inner)
        yield f"{block}.{attention}.to_k", (kept, source)
        yield f"{block}.{attention}.to_v", (kept, source)
        yield f"{block}.{attention}.to_out.0", (inner, kept)
    yield f"{block}.ff.net.0.proj", (torch.cat([hidden, hidden + wide]), inner)  # values, then their gates
    yield f"{block}.ff.net.2", (inner, hidden)


def _kept_heads(out: Tensor, width: int) -> Tensor:
    """The channels of the heads that write most."""
    size = out.shape[1] // nets.heads(out.shape[1])
    best = _read(out).view(-1, size).sum(1).topk(width // size).indices.sort().values
    return (best[:, None] * size + torch.arange(size)).flatten()


def _slice(name: str, weight: Tensor, cuts: dict[str, Cut]) -> Tensor:
    """A parameter at what its layer keeps."""
    outputs, inputs = cuts.get(name.rpartition(".")[0], (None, None))
    weight = weight if outputs is None else weight[outputs]
    return weight if inputs is None or weight.ndim == 1 else weight[:, inputs]


def _time_embedding(teacher: Any, student: Any) -> dict[str, Tensor]:
    """The first layer over fewer sinusoids, fitted by least squares to what the teacher's makes of each noise level."""
    levels = torch.linspace(1, 1000, 2000)
    with torch.no_grad():
        wanted = teacher.time_embedding.linear_1(teacher.time_proj(levels)).double()
        seen = torch.cat([student.time_proj(levels), torch.ones(len(levels), 1)], 1).double()
        ridge = 1e-6 * len(levels) * torch.eye(seen.shape[1], dtype=torch.float64)
        fitted = torch.linalg.solve(seen.T @ seen + ridge, seen.T @ wanted)
    weight, bias = fitted[:-1].T.float().contiguous(), fitted[-1].float()
    return {"time_embedding.linear_1.weight": weight, "time_embedding.linear_1.bias": bias}
