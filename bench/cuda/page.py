"""The page of what `bench.cuda` found."""

from __future__ import annotations

from typing import Any

TITLES = {
    "dtypes": "The embedded family's pictures against those of the CPU in float32",
    "fused": "A row among others against the row alone, largest difference of latents",
    "steps": "A step: the bare network, the engine, the engine with CUDA graphs",
    "ways": "One row at 1024 pixels: attention, graphs, compiled blocks, feature caches",
    "eight": "One row at 1024 pixels, weights in eight bits",
    "decoders": "Decoding 1024 pixels",
    "goodput": "SDXL, 512 pixels, 8 steps, arrivals at 110 % of the offline throughput",
    "memory": "A device whose memory is nearly taken",
    "profile": "Profiles of random weights",
}


def page(found: dict[str, Any]) -> str:
    """Everything as Markdown."""
    about = found["about"]
    machine = about["hardware"]
    lines = [
        "# The engine on a GPU, measured",
        "",
        f"`python -m bench.cuda` on {machine['name']} (driver {machine.get('driver', 'none')}, CUDA "
        f"{machine.get('cuda', 'none')}), torch {machine['torch']}, diffusers {machine['diffusers']}; "
        f"{about['measured']}. Weights of hub architectures are random at full width: speed, no quality."
        + (" **Toy widths: this shows that everything runs, and nothing else.**" if about["toy"] else ""),
        "",
        *_checks(found["checks"]),
    ]
    for kind, title in TITLES.items():
        rows = [row for part, rows in found["figures"].items() if part.partition("-")[0] == kind for row in rows]
        if rows:
            lines += [f"## {title}", "", *_table(rows), ""]
    unfinished = {name: state for name, state in found["parts"].items() if state != "done"}
    lines += [f"- Part `{name}`: {state}." for name, state in unfinished.items()]
    return "\n".join(lines).rstrip() + "\n"


def _checks(checks: list[dict[str, Any]]) -> list[str]:
    held = sum(check["good"] for check in checks)
    lines = [f"{held} of {len(checks)} checks hold.", ""]
    lines += [f"- {'holds' if check['good'] else '**does not hold**'}: {check['what']}" for check in checks]
    return [*lines, ""]


def _table(rows: list[dict[str, Any]]) -> list[str]:
    columns = list(dict.fromkeys(name for row in rows for name in row))
    lines = ["| " + " | ".join(name.replace("_", " ") for name in columns) + " |", "| --- " * len(columns) + "|"]
    return lines + ["| " + " | ".join(_cell(row.get(name)) for name in columns) + " |" for row in rows]


def _cell(value: Any) -> str:
    if value is None:
        return "–"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
