"""`argus solve`: the planner alone, from the command line; nothing needs to run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from cli.numbers import Number
from cli.terminal import IN_FILE, JSON_OUT, make_console, show_table, shows_table, write_json
from core.errors import BadInstance

if TYPE_CHECKING:
    from scheduler.planning.instance import Plan


@click.command()
@click.argument("file", type=IN_FILE)
@click.option("--json", "out", type=JSON_OUT, help="Also write the plan as JSON (- is stdout).")
@click.option("--time-limit", type=Number(0), default=0.9, show_default=True, help="Seconds the solver may take.")
def solve(file: Path, out: Path | None, time_limit: float) -> None:
    """Plan the instance in FILE (JSON): workers per model, load per class and level, prices."""
    from scheduler.planning.instance import Instance
    from scheduler.planning.milp import solve as solve_instance

    try:
        text = file.read_text(encoding="utf-8")
    except UnicodeDecodeError as e:
        raise BadInstance(f"{file} is not UTF-8: {e}", field="instance") from e
    plan = solve_instance(Instance.from_json(text), time_limit=time_limit)
    write_json(out, plan.to_json())
    if shows_table(out):
        _show_plan(plan)


def _show_plan(plan: Plan) -> None:
    workers = "; ".join(f"{d}: " + ", ".join(f"{n} × {m}" for m, n in by.items()) for d, by in plan.workers.items())
    how = f"{plan.status}{f' ({plan.reason})' if plan.reason else ''}, gap {plan.gap:.1e}, {1000 * plan.seconds:.0f} ms"
    make_console().print(f"{how}\nworkers  {workers}  ({plan.moves} to load, {plan.spare:.2f} idle)", soft_wrap=True)
    body = [
        [c, level, f"{rate:.2f}", f"{plan.prices[level]:.4f}"]
        for c, by in plan.served.items()
        for level, rate in by.items()
    ]
    body += [[c, "shed", f"{rate:.2f}", ""] for c, rate in plan.shed.items() if rate > 1e-6]
    title = f"{plan.served_total:.2f} requests/min at quality {plan.quality:.4f}"
    show_table(title, ["class", "level", "requests/min", "price"], body)
