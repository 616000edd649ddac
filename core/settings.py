"""Every setting, described once.

Settings are read from the environment (`ARGUS_<NAME>`). An unknown `ARGUS_…` variable or a malformed value stops
start-up with the name in the message. `docs/settings.md` is made from this file.
"""

from __future__ import annotations

import os
import re
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from pydantic import Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from core.errors import BadSettings
from core.refusals import refusal

PREFIX = "ARGUS_"
EXAMPLE = "change-me"  # every password of the example of an earlier version
SECRETS = ("database_url", "migration_url", "broker_url")
ROOT = Path(__file__).resolve().parents[1]  # the folder of all packages: a checkout, or site-packages
CHECKOUT = (ROOT / "pyproject.toml").is_file()


def default_home() -> Path:
    """Where data goes that nobody gave a place: var/ in a checkout, else where the system keeps data of programs."""
    if CHECKOUT:
        return ROOT / "var"
    if os.geteuid() == 0:
        return Path("/var/lib/argus")
    return Path(os.environ.get("XDG_DATA_HOME") or os.path.expanduser("~/.local/share")) / "argus"


class WebSettings(BaseSettings):
    """How clients reach Argus, and how much they may send."""

    host: str = Field(
        "127.0.0.1",
        description="Address that web and Flower listen on. One that is not of this machine alone needs ARGUS_OPEN.",
    )
    hosts: str = Field(
        "localhost,127.0.0.1,::1",
        description="Names by which clients may call this Argus (the Host header), comma separated; `.example.org`: a "
        "domain and all below it, `*`: any. The address of ARGUS_HOST is always one.",
    )
    open: bool = Field(
        False,
        description="Consent to serve everybody who reaches the port, where ARGUS_HOST is not a loopback address.",
    )
    port: int = Field(8080, ge=1, le=65535, description="Port of the web app and the API.")
    flower_port: int = Field(5555, ge=1, le=65535, description="Port of Flower.")
    trusted_proxies: str = Field(
        "",
        description="Proxies in front, addresses or networks, comma separated (`127.0.0.1,10.1.0.0/16`): what their "
        "`X-Forwarded-For`, `-Proto`, `-Host` and `-Prefix` say is believed, nobody else's.",
    )
    public_url: str = Field(
        "",
        description="Address at which clients reach Argus through a proxy, with the path below which it is: "
        "`https://img.example.org/argus`. Its name is one of ARGUS_HOSTS. Empty: as each client calls.",
    )
    cors_origins: str = Field(
        "",
        description="Origins whose pages may call the API from a browser, comma separated: "
        "`https://studio.example.org,http://localhost:3000`; `*`: any. Cookies are never allowed.",
    )
    rate_limit: str = Field("", description="Submissions allowed a client, e.g. `60/minute`. Empty: no limit.")
    max_prompts: int = Field(10_000, ge=1, description="Most prompts in one job.")
    max_waiting: int = Field(
        100_000,
        ge=1,
        description="Most requests that wait; beyond, submissions are answered 429 with the time until there is room.",
    )
    max_waiting_client: int = Field(50_000, ge=1, description="Most of them by one client.")
    max_upload_mb: int = Field(16, ge=1, description="Most megabytes of one HTTP request.")
    max_file_mb: int = Field(200, ge=1, description="Most megabytes of a file of calls for a batch (`/v1/files`).")
    compat_wait_s: float = Field(
        120.0,
        gt=0,
        description="Seconds the OpenAI and A1111 addresses wait for images before they answer 504; the job goes on.",
    )
    compat_hang_up: Literal["cancel", "finish"] = Field(
        "cancel",
        description="What becomes of a job whose OpenAI or A1111 client hangs up and does not send its call again "
        "within half a minute. cancel: what has not begun is cancelled, what runs is finished; finish: all of it is "
        "drawn. A call with an `Idempotency-Key` is always finished.",
    )
    compat_sizes: Literal["resize", "refuse"] = Field(
        "resize",
        description="What the OpenAI and A1111 addresses do with a size that the family does not draw. resize: draw "
        "the nearest and make it what was asked; refuse: answer an error with the sizes there are.",
    )
    model_aliases: str = Field(
        "dall-e-*=auto,gpt-image-*=auto,chatgpt-image-*=auto",
        description="Names that clients of OpenAI use as models, and what each means here: `pattern=level`, comma "
        "separated; `*` stands for any text, `auto` leaves the level to Argus.",
    )

    @field_validator("model_aliases")
    @classmethod
    def _of_pairs(cls, value: str) -> str:
        pairs(value)
        return value

    @property
    def aliases(self) -> list[tuple[str, str]]:
        """`model_aliases`, read."""
        return pairs(self.model_aliases)

    @field_validator("trusted_proxies")
    @classmethod
    def _of_networks(cls, value: str) -> str:
        networks(value)
        return value

    @field_validator("public_url")
    @classmethod
    def _an_address(cls, value: str) -> str:
        if value and not re.fullmatch(r"https?://[\w.:\[\]-]+(/[\w.~-]+)*/?", value, re.ASCII):
            raise ValueError("write it as https://img.example.org or https://img.example.org/argus")
        return value.rstrip("/")

    @field_validator("cors_origins")
    @classmethod
    def _of_origins(cls, value: str) -> str:
        for origin in filter(None, (each.strip() for each in value.split(","))):
            if origin != "*" and not re.fullmatch(r"https?://[\w.:\[\]-]+", origin, re.ASCII):
                raise ValueError(f"{origin} is no origin: write scheme and name, as https://studio.example.org")
        return value

    @property
    def public_path(self) -> str:
        """The path of `public_url`, without a slash at its end."""
        return urlsplit(self.public_url).path

    @property
    def allowed_origins(self) -> tuple[str, ...]:
        """`cors_origins`, in lower case."""
        return tuple(origin.strip().lower() for origin in self.cors_origins.split(",") if origin.strip())

    @property
    def proxy_networks(self) -> list[IPv4Network | IPv6Network]:
        """`trusted_proxies`, read."""
        return networks(self.trusted_proxies)

    @property
    def known_hosts(self) -> tuple[str, ...]:
        """`hosts`, the address of `host` and the name of `public_url`, in lower case."""
        public = urlsplit(self.public_url).hostname or ""
        listed = (name.strip().strip("[]").lower() for name in (*self.hosts.split(","), self.host, public))
        return tuple(name for name in listed if name)


class Settings(WebSettings):
    """All settings with default, range and meaning."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="forbid")

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
        description="The same database as a role that owns its tables, for `argus run migrate`. Empty: `database_url`.",
    )
    postgres_uid: int = Field(
        61000,
        ge=1,
        description="Id that the PostgreSQL of `argus up` runs as where Argus is root; it needs no name on the system.",
    )
    broker_url: str = Field("", description="Redis or Valkey (redis://…). Empty: Argus runs its own under `home`.")
    images: str = Field("", description="Where images are kept, any fsspec URL. Empty: the folder `home`/images.")
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

    family: str = Field("embedded", description="Family served: a file of families/ or a path to one.")
    devices: str = Field(
        "auto",
        description="Devices, comma separated (`cuda:0,cuda:1`, `cpu:0,cpu:1`). auto: every GPU, else one CPU slot.",
    )
    threads: int = Field(0, ge=0, description="torch threads a worker. 0: cores divided by CPU workers.")
    dtype: Literal["auto", "float32", "bfloat16", "float16", "float64"] = Field(
        "auto", description="Data type of the denoisers. auto: float32 on the CPU, bfloat16 on CUDA."
    )
    compile: Literal["auto", "on", "off"] = Field(
        "off",
        description="Compile the repeated blocks of diffusers denoisers (CUDA): up to a minute at each load. auto: "
        "kept for the numbers of rows where it is measured faster.",
    )
    cuda_graphs: Literal["auto", "on", "off"] = Field(
        "auto",
        description="Replay steps as CUDA graphs. auto: for the numbers of rows where it is measured faster and memory "
        "is ample.",
    )
    attention: Literal["auto", "default", "flash", "cudnn", "efficient"] = Field(
        "default",
        description="Attention back-end preferred in denoisers (CUDA). auto: measured at load; default: as PyTorch "
        "orders them.",
    )
    max_batch: int = Field(8, ge=1, description="Most rows that one denoising step carries.")
    memory_mb: int = Field(0, ge=0, description="Memory for resident models a worker. 0: 80 % of the device's.")

    policy: str = Field("argus", description="Scheduling policy, a name of scheduler/policies/.")
    tick_s: float = Field(10.0, gt=0, description="Seconds between two plans.")
    slo_s: float = Field(
        0.0,
        ge=0,
        description="Latency target in seconds for requests without a deadline. 0: `slo_factor` × what `exact` takes "
        "here, as workers measure it, at least 2 s.",
    )
    slo_factor: float = Field(3.0, gt=0, description="SLO as a multiple of the measured latency of `exact`.")
    floor_z: float = Field(
        0.5,
        ge=0,
        le=5,
        description="A level keeps a request's `min_quality` when its predicted quality is above it by so many "
        "standard deviations of the prediction. 0: when the mean is. More: fewer images under their floor, more of "
        "them at `exact` (docs/results/scheduler.md, Floors).",
    )
    batch_window_s: float = Field(86_400.0, gt=0, description="Completion window of the batch class in seconds.")
    history_days: float = Field(
        30.0,
        gt=0,
        description="Days that plans, assignments, workers that left and replaced predictors are kept. Requests and "
        "images stay until their job is purged.",
    )
    action_days: float = Field(
        365.0, gt=0, description="Days that it is kept who created, cancelled and removed which job (`client_action`)."
    )
    max_attempts: int = Field(
        3,
        ge=1,
        description="Attempts before a request is failed; what a worker, store or database that is lost costs is none.",
    )
    stale_s: float = Field(
        8.0,
        gt=0,
        description="Seconds without a heartbeat after which a worker is lost. It beats four times in that.",
    )

    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="Least severe line logged.")
    log_mb: float = Field(
        10.0,
        gt=0,
        description="Size at which a log file of `argus up` is put aside; three older ones are kept of each.",
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
            ARGUS_OPEN; the message names it.
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
    if not (loaded.open or is_loopback(loaded.host)):
        raise BadSettings(
            f"ARGUS_HOST={loaded.host} would serve everybody who reaches the port, and Argus asks nobody who they are. "
            "Put a proxy that does in front and leave ARGUS_HOST alone, or consent with ARGUS_OPEN=yes.",
            field="ARGUS_HOST",
        )
    if example := next((name for name in SECRETS if EXAMPLE in getattr(loaded, name)), None):
        raise BadSettings(
            f"{PREFIX}{example.upper()} still has the password of the example, {EXAMPLE!r}: change it.",
            field=PREFIX + example.upper(),
        )
    return loaded


def networks(listed: str) -> list[IPv4Network | IPv6Network]:
    """Addresses and networks of a list with commas; raises ValueError."""
    return [ip_network(each.strip()) for each in listed.split(",") if each.strip()]


def pairs(listed: str) -> list[tuple[str, str]]:
    """Names and what they mean, of a list with commas and `=`; raises ValueError."""
    found = [each.partition("=") for each in listed.split(",") if each.strip()]
    if any(not (name.strip() and meaning.strip()) for name, _, meaning in found):
        raise ValueError("write pattern=level, with commas between: dall-e-*=auto")
    return [(name.strip(), meaning.strip()) for name, _, meaning in found]


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches the address."""
    if host == "localhost":
        return True
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


@lru_cache(maxsize=1)
def settings() -> Settings:
    """The settings of this process, read once."""
    return load_settings()
