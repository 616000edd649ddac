"""Every setting, described once.

Settings are read from the environment (`ARGUS_<NAME>`). An unknown `ARGUS_…` variable or a malformed value stops
start-up with the name in the message. Those of the web process are in `core.web_settings`, those of workers in
`core.engine_settings`, those of planning in `core.scheduling_settings`, those of webhooks in
`core.webhook_settings`; `docs/settings.md` is made from all.
"""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from core.engine_settings import EngineSettings
from core.errors import BadSettings
from core.refusals import refusal
from core.scheduling_settings import SchedulingSettings
from core.web_settings import WebSettings, is_loopback
from core.webhook_settings import WebhookSettings

PREFIX = "ARGUS_"
EXAMPLE = "change-me"  # every password of the example of an earlier version
SECRETS = ("database_url", "migration_url", "report_url", "broker_url", "api_key", "secret")
ROOT = Path(__file__).resolve().parents[1]  # the folder of all packages: a checkout, or site-packages
CHECKOUT = (ROOT / "pyproject.toml").is_file()


def default_home() -> Path:
    """Where data goes that nobody gave a place: var/ in a checkout, else where the system keeps data of programs."""
    if CHECKOUT:
        return ROOT / "var"
    if os.geteuid() == 0:
        return Path("/var/lib/argus")
    return Path(os.environ.get("XDG_DATA_HOME") or os.path.expanduser("~/.local/share")) / "argus"


class PlaceSettings(BaseSettings):
    """Where things are kept."""

    home: Path = Field(
        default_home(),
        description="Folder of everything that runs: data, images, logs. Installed as a package: ~/.local/share/argus, "
        "for root /var/lib/argus.",
    )
    database_url: str = Field(
        "", description="PostgreSQL with pgvector (postgresql://…). Empty: Argus runs its own under `home`."
    )
    migration_url: str = Field(
        "",
        description="The same database as a role that owns its tables, for `argus run migrate` and `reindex`. "
        "Empty: `database_url`.",
    )
    report_url: str = Field(
        "",
        description="The same database as a role that reads the views of docs/reports.md, for `argus psql --report`. "
        "Empty: that of Argus's own.",
    )
    postgres_uid: int = Field(
        61000,
        ge=1,
        description="Id that the PostgreSQL of `argus up` runs as where Argus is root; it needs no name on the system.",
    )
    broker_url: str = Field("", description="Redis or Valkey (redis://…). Empty: Argus runs its own under `home`.")
    images: str = Field("", description="Where images are kept, any fsspec URL. Empty: the folder `home`/images.")
    output_prefixes: str = Field(
        "",
        description="Below which fsspec URLs jobs may have their results written (`output`), separated by commas: "
        "`s3://bucket/{tenant}`, where `{tenant}` is the name of the job's. Empty: nowhere.",
    )
    wildcards: str = Field(
        "",
        description="Folder of wildcards of prompts: `__animals/cats__` is a line of its file animals/cats.txt. Empty: "
        "`home`/wildcards.",
    )
    latents: str = Field(
        "",
        description="Where cached latents are kept: a folder, or a Redis or Valkey (redis://…). Empty: `home`/latents.",
    )
    latents_mb: int = Field(512, ge=0, description="Size limit of the latent cache in MB; 0 turns it off.")


class Settings(
    SchedulingSettings, EngineSettings, WebhookSettings, PlaceSettings, WebSettings
):  # the last comes first in a list
    """All settings with default, range and meaning."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="forbid")

    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="Least severe line logged.")
    log_mb: float = Field(
        10.0,
        gt=0,
        description="Size at which a log file of `argus up` is put aside; three older ones are kept of each.",
    )
    otlp_url: str = Field(
        "",
        description="OpenTelemetry collector that traces of requests are sent to, OTLP over HTTP: "
        "`http://collector:4318/v1/traces`. Needs the extra `argus[traces]`. Empty: none are made.",
    )
    log_json: bool = Field(False, description="One JSON object a line instead of text for people.")

    @property
    def run_folder(self) -> Path:
        """Folder with pid, state and addresses of what `argus up` started."""
        return self.home / "run"

    @property
    def image_url(self) -> str:
        return self.images or str(self.home / "images")

    @property
    def wildcard_folder(self) -> Path:
        return Path(self.wildcards) if self.wildcards else self.home / "wildcards"

    @property
    def latent_location(self) -> str:
        return self.latents or str(self.home / "latents")


def load_settings(environ: dict[str, str] | None = None) -> Settings:
    """Read settings from the environment.

    Raises:
        BadSettings: a variable that is no setting, a value out of range, or an address open to others without
            ARGUS_KEYS or ARGUS_OPEN; the message names it.
    """
    given = os.environ if environ is None else environ
    names = {key for key in given if key.startswith(PREFIX)}
    known = {PREFIX + name.upper() for name in Settings.model_fields}
    if unknown := sorted(names - known):
        raise BadSettings(f"{unknown[0]} is no setting of Argus. Known: {', '.join(sorted(known))}.", field=unknown[0])
    values: dict[str, Any] = {name[len(PREFIX) :].lower(): given[name] for name in names}
    try:
        loaded = Settings(**values)
    except ValidationError as error:
        first = error.errors()[0]
        name = PREFIX + str(first["loc"][0]).upper()
        raise BadSettings(f"{name}={first['input']!r}: {refusal({**first, 'loc': (name,)})}", field=name) from error
    if not (loaded.keys or loaded.open or is_loopback(loaded.host)):
        raise BadSettings(
            f"ARGUS_HOST={loaded.host} would serve everybody who reaches the port. Demand keys with ARGUS_KEYS=yes "
            "(`argus keys create TENANT` makes one), or consent to that with ARGUS_OPEN=yes.",
            field="ARGUS_HOST",
        )
    if example := next((name for name in SECRETS if EXAMPLE in getattr(loaded, name)), None):
        raise BadSettings(
            f"{PREFIX}{example.upper()} still has the password of the example, {EXAMPLE!r}: change it.",
            field=PREFIX + example.upper(),
        )
    return loaded


@lru_cache(maxsize=1)
def settings() -> Settings:
    """The settings of this process, read once."""
    return load_settings()
