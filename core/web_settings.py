"""Settings of the web process: how clients reach Argus, and how much they may send. Put together in `core.settings`."""

from __future__ import annotations

import re
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Literal
from urllib.parse import urlsplit

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings


class WebSettings(BaseSettings):
    """How clients reach Argus, and how much they may send."""

    host: str = Field(
        "127.0.0.1",
        description="Address that web and Flower listen on. One that is not of this machine alone needs ARGUS_KEYS, or "
        "ARGUS_OPEN.",
    )
    hosts: str = Field(
        "localhost,127.0.0.1,::1",
        description="Names by which clients may call this Argus (the Host header), comma separated; `.example.org`: a "
        "domain and all below it, `*`: any. The address of ARGUS_HOST is always one.",
    )
    keys: bool = Field(
        False,
        description="Demand a key of everybody (`argus keys create`). Without it keys are demanded once there is one.",
    )
    api_key: str = Field("", description="Key that the commands of `argus` send, where keys are demanded.")
    secret: str = Field(
        "",
        description="Signs the cookies of who has signed in; the same for all web processes. Empty: the file "
        "`home`/secret, made at first start.",
    )
    open: bool = Field(
        False,
        description="Consent to serve everybody who reaches the port, where ARGUS_HOST is not a loopback address and "
        "no keys are demanded.",
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
    rate_limit: str = Field(
        "",
        description="Submissions allowed a key, or a client without one, e.g. `60/minute`; a tenant may have its own "
        "(`argus tenants set`). Empty: no limit.",
    )
    max_prompts: int = Field(10_000, ge=1, description="Most prompts in one job.")
    max_file_prompts: int = Field(100_000, ge=1, description="Most prompts in one job that is sent as a file.")
    max_waiting: int = Field(
        500_000,
        ge=1,
        description="Most requests that wait; beyond, submissions are answered 429 with the time until there is room.",
    )
    max_waiting_client: int = Field(200_000, ge=1, description="Most of them by one client.")
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
