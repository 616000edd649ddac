"""What every error of ours is: `core.errors` draws their tree."""

from __future__ import annotations

from typing import Any

PAGE = "/docs/errors"  # of a running Argus: what each code means
PROBLEM_TYPE = "application/problem+json"


class ArgusError(Exception):
    """Base of all errors shown to users. `field` names the part of the input at fault, where there is one;
    `retry_after_s` after how many seconds the same may be tried again, where that helps."""

    code = "internal"
    status = 500
    help = "Look at the log of the process that answered; report it if it persists."
    retry_after_s: int | None = None

    def __init__(self, message: str, *, field: str | None = None, retry_after_s: int | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.field = field
        if retry_after_s is not None:
            self.retry_after_s = retry_after_s

    @classmethod
    def title(cls) -> str:
        """What this kind of error is called: its code as words."""
        return cls.code.replace("_", " ").capitalize()

    def as_problem(self, instance: str, root: str = "") -> dict[str, Any]:
        """The body of an error answer by RFC 9457, with our code, field and what to do; `error` is the body of before.

        Args:
            instance: what names this one answer.
            root: the path in front of every address of this server.
        """
        return {
            "type": f"{root}{PAGE}#{self.code}",
            "title": self.title(),
            "status": self.status,
            "detail": self.message,
            "instance": instance,
            "code": self.code,
            "field": self.field,
            "help": self.help,
            "error": {"code": self.code, "message": self.message, "field": self.field},
        }
