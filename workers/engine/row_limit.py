"""How many rows of a model and shape one forward may have, learned from running out of memory."""

from __future__ import annotations

from dataclasses import dataclass

PATIENCE = 50  # steps without shortage after which more rows are tried


@dataclass
class RowLimit:
    """The most rows of one forward: halved when memory runs out, doubled again after a while.

    What took the memory may be gone by then (another model, a decoder, another process). Each shortage doubles the
    steps until the next try.
    """

    most: int
    rows: int = 0
    patience: int = PATIENCE
    quiet: int = 0  # steps since the last shortage

    def __post_init__(self) -> None:
        self.rows = self.rows or self.most

    def shrink(self, failed: int) -> None:
        """So many rows did not fit."""
        self.rows = max(1, min(self.rows, failed // 2))
        self.patience, self.quiet = 2 * self.patience, 0

    def stepped(self) -> None:
        """A step went well."""
        self.quiet += 1
        if self.rows < self.most and self.quiet >= self.patience:
            self.rows, self.quiet = min(self.most, 2 * self.rows), 0
