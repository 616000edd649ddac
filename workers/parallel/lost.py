"""What a rank is told when it waits in vain. No torch here: whoever drives a gang may import it."""

from __future__ import annotations


class MemberLost(RuntimeError):
    """A member of the company has failed, or said nothing for too long: the image has to be drawn without it."""
