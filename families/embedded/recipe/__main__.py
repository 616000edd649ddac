"""The recipe's command: see the package. A stage that fails is reported and left out; the run goes on."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

import torch

from families.embedded import checksums
from families.embedded.recipe import STARTED, autoencoder, denoise, distil, evaluate, pages, scorer, transformer
from families.embedded.recipe.plan import CPU, SHARES, TINY, Plan
from families.embedded.recipe.run import Run, prepare
from families.embedded.recipe.stage import say

ALWAYS = ("latents", "pages")


def stages(run: Run) -> dict[str, Callable[[], None]]:
    """Stage name → what it does, in order."""
    plan = run.plan
    return {
        "codec": lambda: autoencoder.train(run),
        "latents": lambda: denoise.encode_latents(run),
        "scorer": lambda: scorer.train(run),
        "large": lambda: denoise.train(run),
        "turbo": lambda: distil.train_turbo(run),
        "medium": lambda: distil.train_pruned(run, "medium", plan.medium, middle=True),
        "small": lambda: distil.train_pruned(run, "small", plan.small, middle=False),
        "dit": lambda: transformer.train(run),
        "evaluate": lambda: evaluate.evaluate(run),
        "pages": lambda: pages.write_pages(run),
    }


def train(run: Run) -> list[str]:
    """Every stage of the run, one after the other; answers which failed."""
    failed = []
    for name, stage in stages(run).items():
        if name not in run.stages:
            continue
        say(f"== {name}: {run.seconds(name):.1f} s")
        try:
            stage()
        except Exception:
            traceback.print_exc()
            say(f"!! {name} failed")
            failed.append(name)
        if run.weights.exists():
            checksums.write(run.weights)
    return failed


def chosen(names: str) -> tuple[str, ...]:
    """The stages asked for, in order; all where none are. Raises SystemExit for a name that is none."""
    wanted = [name for name in names.split(",") if name] or list(SHARES)
    if unknown := set(wanted) - set(SHARES):
        sys.exit(f"no such stage: {', '.join(sorted(unknown))}; there are {', '.join(SHARES)}")
    return tuple(name for name in SHARES if name in (*wanted, *ALWAYS))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m families.embedded.recipe", description="Train the embedded family."
    )
    parser.add_argument("--seconds", type=float, default=1100, help="wall clock of the whole run")
    parser.add_argument("--folder", type=Path, required=True, help="where weights/, scores/ and sheets/ go")
    parser.add_argument("--resume", type=Path, help="weights of an earlier run, to go on from")
    parser.add_argument("--stages", default="", help="comma separated; what the others make comes from --resume")
    parser.add_argument("--tiny", action="store_true", help="toy widths and batches")
    parser.add_argument("--seed", type=int, default=1, help="of the training scenes")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    return parser.parse_args()


def main() -> None:
    """Train what was asked for; exit status 1 if a stage failed."""
    asked = arguments()
    torch.backends.cudnn.benchmark_limit = 4  # a try of every algorithm for every shape takes longer than it saves
    torch.backends.mha.set_fastpath_enabled(False)
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    shutil.rmtree(asked.folder, ignore_errors=True)
    plan = TINY if asked.tiny else CPU if asked.device == "cpu" else Plan()
    wanted = chosen(asked.stages)
    run = prepare(plan, asked.device, asked.folder, STARTED + asked.seconds, wanted, asked.resume, asked.seed)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True  # after the prompts are encoded
    failed = train(run)
    say(f"finished, without {failed}" if failed else "finished")
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
