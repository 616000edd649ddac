"""What commands share that call an Argus over its REST: which one, and a client for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from cli.terminal import ADDRESS

if TYPE_CHECKING:
    from core.client import ArgusClient

URL = click.option("--url", type=ADDRESS, help="Address of Argus; default: the one that runs here.")


def client_at(url: str | None) -> ArgusClient:
    """A client of the Argus at this address, else of the one that runs here."""
    from cli.stack import base_url
    from core.client import ArgusClient

    return ArgusClient(url or base_url())
