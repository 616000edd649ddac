"""`python -m bench.clients`: try every client against an Argus of its own."""

from __future__ import annotations

import json
import shutil
import sys
from contextlib import nullcontext
from subprocess import TimeoutExpired
from typing import Any

import click

from bench.clients.clients import CLIENTS, Client
from bench.clients.environments import run, versions
from bench.clients.page import page
from bench.live.machine import hardware
from bench.own import keep, own_argus, own_home, run_of
from core.client import ArgusClient
from core.errors import ServiceDown
from core.families import load_family
from core.settings import ROOT

KEPT, PAGE = ROOT / "docs/results/clients.json", ROOT / "docs/clients.md"


def tried(client: Client, url: str) -> dict[str, Any]:
    """A client, its version, and how each of its features ended."""
    try:
        lines = run(client, url).splitlines()
        features = [json.loads(line) for line in lines if line.startswith('{"feature"')]
    except (ServiceDown, TimeoutExpired) as error:
        features = [{"feature": "its script", "outcome": "fails", "detail": str(error)}]
    for feature in features:
        feature["detail"] = str(feature["detail"]).replace(url, "http://127.0.0.1:8080")
    return {"name": client.name, "version": versions(client), "api": client.api, "features": features}


def told(client: dict[str, Any]) -> None:
    """Say at once how a client did."""
    for feature in client["features"]:
        seen = str(feature["detail"]).partition("\n")[0]
        click.echo(f"{feature['outcome']:8} {client['name']}: {feature['feature']}: {seen}", err=True)


@click.command()
@click.option("--only", multiple=True, help="Names of clients, or the beginning of them; all if left out.")
@click.option("--url", default=None, help="An Argus that runs already.")
@click.option("--write", is_flag=True, help="Write docs/results/clients.json and docs/clients.md.")
def main(only: tuple[str, ...], url: str | None, write: bool) -> None:
    """Try the clients that others wrote; exit 1 where one fails."""
    chosen = [client for client in CLIENTS if not only or client.name.lower().startswith(tuple(map(str.lower, only)))]
    if shutil.which("npm") is None:
        click.echo("Node's clients are left out: there is no npm here.", err=True)
        chosen = [client for client in chosen if client.language != "node"]
    family, machine, clients = load_family("embedded"), hardware(), []
    run = run_of("bench.clients", family=family.id, family_version=family.version)
    run["machine"] = f"{machine['name']}, {machine['cores']} cores"
    with own_home("clients") as home, own_argus(home) if url is None else nullcontext(ArgusClient(url)) as argus:
        for client in chosen:
            clients.append(tried(client, argus.url))
            told(clients[-1])
    found = {"run": run, "clients": clients}
    if write:
        keep(found, KEPT, PAGE, page(found))
    click.echo(page(found))
    sys.exit(any(feature["outcome"] == "fails" for client in clients for feature in client["features"]))


if __name__ == "__main__":
    main()
