"""An environment for each client: made once for its packages, kept under `var/clients`."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import venv
from pathlib import Path

from bench.clients.clients import Client
from core.errors import ServiceDown
from core.settings import ROOT

FOLDER = ROOT / "var" / "clients"
SCRIPTS = Path(__file__).parent / "scripts"
INSTALL_S, RUN_S = 900, 900


def environment(client: Client) -> Path:
    """The folder of a client's environment, with its packages; raises `ServiceDown` with what the installer said."""
    wanted = " ".join((sys.version, client.language, *client.packages))
    folder = FOLDER / f"{client.script.partition('.')[0]}-{hashlib.sha256(wanted.encode()).hexdigest()[:8]}"
    done = folder / "installed"
    if done.exists():
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    if client.language == "python":
        venv.create(folder, with_pip=True, clear=True)
        words = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", *client.packages]
    else:
        (folder / "package.json").write_text('{"private": true, "type": "module"}\n')
        words = ["npm", "install", "--silent", "--no-audit", "--no-fund", *client.packages]
    _run(words, folder, INSTALL_S)
    done.touch()
    return folder


def run(client: Client, url: str) -> str:
    """What a client's script prints, run against the Argus at an address."""
    folder = environment(client)
    script = SCRIPTS / client.script
    settings = {**os.environ, "ARGUS_URL": url, "CLIENT_FOLDER": str(folder)}
    if client.language == "python":
        return _run([str(folder / "bin" / "python"), str(script)], folder, RUN_S, settings)
    for source in (script, SCRIPTS / "features.mjs"):  # Node looks for packages beside the script
        (folder / source.name).write_text(source.read_text(encoding="utf-8"), encoding="utf-8")
    return _run(["node", script.name], folder, RUN_S, settings)


def versions(client: Client) -> str:
    """The version of a client's first package, as installed."""
    folder, package = environment(client), client.packages[0]
    if client.language == "node":
        return package.rpartition("@")[2]
    name = package.partition("==")[0].partition("[")[0]
    shown = _run([str(folder / "bin" / "python"), "-m", "pip", "show", name], folder, 60)
    return next(line.partition(": ")[2] for line in shown.splitlines() if line.startswith("Version: "))


def _run(words: list[str], folder: Path, patience_s: float, settings: dict[str, str] | None = None) -> str:
    done = subprocess.run(
        words, cwd=folder, env=settings, capture_output=True, text=True, timeout=patience_s, check=False
    )
    if done.returncode:
        raise ServiceDown(
            f"{' '.join(words)} ended with {done.returncode}:\n{done.stdout[-2000:]}{done.stderr[-4000:]}"
        )
    return done.stdout
