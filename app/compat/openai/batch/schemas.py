"""Shapes of OpenAI's Files and Batch APIs, as the types of its package have them."""

from __future__ import annotations

import json
import re
from datetime import datetime
from typing import Annotated, Any, Literal

from apiflask.fields import UploadFile
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from app.compat.openai.batch.validation import ADDRESS
from app.schemas.base import AnyWhole, In, Out
from core.errors import BadInput

NO_OBJECT = 'An object is wanted: {"anchor": "created_at", "seconds": 86400}.'
Name = Annotated[str, StringConstraints(max_length=64, pattern=r"^[^\x00]*$")]
Label = Annotated[str, StringConstraints(max_length=512, pattern=r"^[^\x00]*$")]


class ExpiresAfter(BaseModel):
    """When a file goes by itself."""

    model_config = ConfigDict(extra="forbid")

    anchor: Literal["created_at"]
    seconds: AnyWhole = Field(ge=3600, le=30 * 86_400, description="Behind the time at which the file was made.")


class FileIn(BaseModel):
    """A file to be uploaded; other fields are ignored."""

    model_config = ConfigDict(extra="ignore")

    file: UploadFile = Field(description="JSON lines: an object with custom_id, method, url, body on each.")
    purpose: Literal["batch"] = Field(description="`batch` is the one there is.")
    expires_after: ExpiresAfter | None = Field(
        default=None, description="Left out: it stays until it is deleted. In forms `expires_after[seconds]`, or JSON."
    )

    @model_validator(mode="before")
    @classmethod
    def _with_fields_in_brackets_together(cls, sent: Any) -> Any:
        """A form has no objects: OpenAI's clients write `expires_after[anchor]`, others an object as text."""
        if not isinstance(sent, dict):
            return sent
        sent = {name: value for name, value in sent.items() if name is not None}  # a form may hold such fields
        inner = {name[14:-1]: value for name, value in sent.items() if re.fullmatch(r"expires_after\[\w+\]", name)}
        given = inner or sent.get("expires_after")
        if isinstance(given, str) and given:
            try:
                given = json.loads(given)
            except (ValueError, RecursionError):
                raise BadInput(NO_OBJECT, field="expires_after") from None
        return {**sent, "expires_after": given or None}


class FilesIn(BaseModel):
    """Where in the list of files."""

    model_config = ConfigDict(extra="ignore")

    after: str | None = Field(default=None, max_length=64, description="The id after which the page begins.")
    limit: AnyWhole = Field(default=10_000, ge=1, le=10_000)
    order: Literal["asc", "desc"] = "desc"
    purpose: str | None = Field(default=None, max_length=64, pattern=r"^[^\x00]*$")


class FileOut(Out):
    """A file."""

    id: str
    object: Literal["file"] = "file"
    bytes: int = Field(description="Of results an estimate: they are made when they are read.")
    created_at: int
    expires_at: int | None = None
    filename: str
    purpose: Literal["batch", "batch_output"]
    status: Literal["processed"] = "processed"


class FilesOut(Out):
    """A page of files."""

    object: Literal["list"] = "list"
    data: list[FileOut]
    first_id: str | None
    last_id: str | None
    has_more: bool


class FileDeleted(Out):
    """A file is gone."""

    id: str
    object: Literal["file"] = "file"
    deleted: Literal[True] = True


class BatchIn(In):
    """A batch to be made of a file."""

    input_file_id: str = Field(max_length=64, description="Of an uploaded file of purpose `batch`.")
    endpoint: Literal[ADDRESS] = Field(description="The address that every line calls.")  # type: ignore[valid-type]
    completion_window: Literal["24h"] = Field(description="ARGUS_BATCH_WINDOW_S is what it is here.")
    metadata: dict[Name, Label] | None = Field(default=None, max_length=16)
    output_expires_after: ExpiresAfter | None = Field(
        default=None, description="Of the files of its results. Left out: they stay."
    )


class BatchesIn(BaseModel):
    """Where in the list of batches."""

    model_config = ConfigDict(extra="ignore")

    after: str | None = Field(default=None, max_length=64, description="The id after which the page begins.")
    limit: AnyWhole = Field(default=20, ge=1, le=100)


class BatchProblem(Out):
    """What is wrong with a line of the file."""

    code: str
    message: str
    line: int | None
    param: str | None


class BatchProblems(Out):
    """What is wrong with the file."""

    object: Literal["list"] = "list"
    data: list[BatchProblem]


class RequestCounts(Out):
    """Lines by what became of them."""

    total: int
    completed: int
    failed: int


class BatchOut(Out):
    """A batch; times in seconds since 1970."""

    id: str
    object: Literal["batch"] = "batch"
    endpoint: str = ADDRESS
    errors: BatchProblems | None
    input_file_id: str
    completion_window: str = "24h"
    status: Literal[
        "validating", "failed", "in_progress", "finalizing", "completed", "expired", "cancelling", "cancelled"
    ]
    output_file_id: str | None
    error_file_id: str | None
    created_at: int
    in_progress_at: int | None
    expires_at: int
    finalizing_at: int | None
    completed_at: int | None
    failed_at: int | None
    expired_at: int | None
    cancelling_at: int | None
    cancelled_at: int | None
    request_counts: RequestCounts
    metadata: dict[str, str] | None


class BatchesOut(Out):
    """A page of batches."""

    object: Literal["list"] = "list"
    data: list[BatchOut]
    first_id: str | None
    last_id: str | None
    has_more: bool


TIMES = (
    *("created_at", "expires_at", "in_progress_at", "finalizing_at", "completed_at"),
    *("failed_at", "expired_at", "cancelling_at", "cancelled_at"),
)


def seconds(time: datetime | None) -> int | None:
    """A time as OpenAI writes it."""
    return None if time is None else int(time.timestamp())
