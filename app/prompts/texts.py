"""The texts of one prompt: cleaned, and with their choices made for each seed."""

from __future__ import annotations

import re
from dataclasses import dataclass

from app.prompts.drawing import draw
from app.prompts.reading import read
from app.prompts.wildcards import lines_of
from core.errors import BadPrompt

WHITE = re.compile(r"[ \t\r\n\u2028\u2029]+")
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")  # C0, C1, and halves of surrogate pairs
MOST_WHITE = 10  # characters that are sent for one that is kept
#: To the end of a line. Prompts without choices have none: a `#` is a character in them.
COMMENT = re.compile(r"(?:^[ \t]*#|[ \t]#(?=[ \t])).*$", re.MULTILINE)
REPLACED = "\ufffd"  # what decoders leave where bytes were not UTF-8


@dataclass(frozen=True)
class PromptText:
    """A prompt or a negative prompt as it was written, cleaned.

    Args:
        field: where it stands, for errors.
        limit: most characters of what is drawn; with choices, what is written may be ten times as long.
        empty: whether it may be.
        literal: whether it is taken as it is written.
    """

    written: str
    field: str
    limit: int
    empty: bool = False
    literal: bool = False

    @staticmethod
    def of(text: str, field: str, limit: int, *, empty: bool = False, literal: bool = False) -> PromptText:
        """Read a text; raises `BadPrompt`."""
        clean = clean_text(text, field, MOST_WHITE * limit, empty=empty)
        if not literal and "\n" in text and COMMENT.search(text):
            said = clean_text(COMMENT.sub("", text), field, MOST_WHITE * limit, empty=True)
            if said and _has_choices(said, field):
                clean = said
        if len(clean) > limit and (literal or not _has_choices(clean, field)):
            raise BadPrompt(f"{len(clean):,} characters; at most {limit:,} are taken.", field=field)
        return PromptText(clean, field, limit, empty, literal)

    def drawn(self, seed: int) -> tuple[str, str | None]:
        """What is drawn with this seed, and what was written where that is another text; raises `BadPrompt`."""
        if self.literal:
            return self.written, None
        try:
            text = draw(self.written, seed, lines_of)
        except BadPrompt as error:
            raise BadPrompt(error.message, field=self.field) from None
        if text == self.written:
            return text, None
        return clean_text(text, self.field, self.limit, empty=self.empty), self.written


def _has_choices(text: str, field: str) -> bool:
    try:
        return not all(isinstance(part, str) for part in read(text))
    except BadPrompt as error:
        raise BadPrompt(error.message, field=field) from None


def clean_text(text: str, field: str, limit: int, *, empty: bool = False) -> str:
    """The text with white space (line breaks too) made single spaces.

    Raises:
        BadPrompt: empty (unless `empty`), longer than `limit` characters, control characters, broken Unicode.
    """
    if len(text) > MOST_WHITE * limit:
        raise BadPrompt(f"{len(text):,} characters; at most {limit:,} are taken.", field=field)
    clean = WHITE.sub(" ", text).strip()
    if not clean and not empty:
        raise BadPrompt("The prompt is empty.", field=field)
    if found := CONTROL.search(clean):
        raise BadPrompt(
            f"Character {found.start() + 1} is U+{ord(found[0]):04X}, a control character: remove it.", field=field
        )
    if REPLACED in clean:
        raise BadPrompt("The text was not sent as UTF-8: some of its characters are lost (U+FFFD).", field=field)
    if len(clean) > limit:
        raise BadPrompt(f"{len(clean):,} characters; at most {limit:,} are taken.", field=field)
    return clean
