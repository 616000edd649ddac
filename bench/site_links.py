"""For the site of docs/ (`properdocs.yml`): what a page links to outside docs/ is named as a file of the checkout."""

from __future__ import annotations

import re
from typing import Any

OUTSIDE = re.compile(r"\[([^\]]+)\]\(((?:\.\./)+)((?!docs/)[^)#]+)(?:#[^)]*)?\)")
FOLDER = re.compile(r"\[([^\]]+)\]\((?!https?:|\.\./)([\w/-]+)/\)")


def on_page_markdown(markdown: str, page: Any, **_: object) -> str:
    """The page with such links as plain text: `text` (`path`)."""
    depth = page.file.src_uri.count("/") + 1  # steps up from the page to the checkout

    def named(found: re.Match[str]) -> str:
        return f"{found[1]} (`{found[3]}`)" if found[2].count("../") == depth else found[0]

    return FOLDER.sub(r"\1 (`docs/\2`)", OUTSIDE.sub(named, markdown))
