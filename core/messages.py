"""One small dataclass an edge: what is published, to which queue. Messages carry ids, never images or prompts.

============ ================ ============================== =====================
message      from             to                             queue
============ ================ ============================== =====================
Route        app, reconcile   router (`scheduler.tasks`)     `router`
Generate     router, tick,    generation worker              `t2i.<family>.<level>`
             reconcile
ScoreImage   worker,          quality worker                 `quality`
             reconcile
Escalate     quality worker   router                         `router`
ReadPrompts  beat             router                         `router`
ReadSearch   app              router                         `router`
Tick         beat, worker     scheduler                      `scheduler`
Reconcile    beat, worker     scheduler                      `scheduler`
CheckFiles   beat             scheduler                      `scheduler`
Fold         beat             scheduler                      `scheduler`
Learn        beat             scheduler                      `scheduler`
TellHooks    beat             scheduler                      `scheduler`
AskWhatIf    app              scheduler                      `scheduler`
WriteOutputs beat             scheduler                      `scheduler`
============ ================ ============================== =====================

Every message may be lost or come twice; rows say what is true. The version of Argus before this one may be at the other
end (`core/receiving.py`): a new field needs a default, and what that version would misread a higher `format`.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import ClassVar

ROUTER_QUEUE = "router"
QUALITY_QUEUE = "quality"
SCHEDULER_QUEUE = "scheduler"
FORMAT_HEADER = "argus_format"


@dataclass(frozen=True)
class Message:
    """A message is a task's name and its keyword arguments; `format` goes beside them, in a header."""

    task: ClassVar[str]
    format: ClassVar[int] = 1

    def kwargs(self) -> dict[str, str | int]:
        return asdict(self)


@dataclass(frozen=True)
class Route(Message):
    """Choose levels for the accepted requests of a job."""

    task: ClassVar[str] = "argus.route"
    job_id: str


@dataclass(frozen=True)
class Generate(Message):
    """Make the image of a queued request, as planned in this epoch."""

    task: ClassVar[str] = "argus.generate"
    request_id: str
    epoch: int


@dataclass(frozen=True)
class ScoreImage(Message):
    """Score a stored image against its prompt."""

    task: ClassVar[str] = "argus.score"
    image_id: str


@dataclass(frozen=True)
class Escalate(Message):
    """See whether an image that has been scored is good enough for its request."""

    task: ClassVar[str] = "argus.escalate"
    request_id: str


@dataclass(frozen=True)
class ReadPrompts(Message):
    """Embed prompts of which images were stored since the last time."""

    task: ClassVar[str] = "argus.read_prompts"


@dataclass(frozen=True)
class ReadSearch(Message):
    """Embed what somebody looks for, and waits."""

    task: ClassVar[str] = "argus.read_search"
    digest: str


@dataclass(frozen=True)
class Tick(Message):
    """Observe, forecast, plan, re-align what waits, remap workers."""

    task: ClassVar[str] = "argus.tick"


@dataclass(frozen=True)
class Reconcile(Message):
    """Publish again what was accepted or queued and never arrived; take back what lost workers held."""

    task: ClassVar[str] = "argus.reconcile"


@dataclass(frozen=True)
class CheckFiles(Message):
    """Compare some rows of images with the files of the store: remove what no row names, draw again what is gone."""

    task: ClassVar[str] = "argus.check_files"


@dataclass(frozen=True)
class Fold(Message):
    """Add what became of requests to the sums that reports read."""

    task: ClassVar[str] = "argus.fold"


@dataclass(frozen=True)
class Learn(Message):
    """Audit when idle, retrain the predictor when it has drifted."""

    task: ClassVar[str] = "argus.learn"


@dataclass(frozen=True)
class WriteOutputs(Message):
    """Write results of jobs that are over where they asked for."""

    task: ClassVar[str] = "argus.write_outputs"


@dataclass(frozen=True)
class AskWhatIf(Message):
    """Simulate what the dashboard was asked."""

    task: ClassVar[str] = "argus.what_if"


@dataclass(frozen=True)
class TellHooks(Message):
    """Tell webhooks what is due."""

    task: ClassVar[str] = "argus.tell_hooks"
