"""Settings of webhooks. Put together in `core.settings`."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings

from core.web_settings import networks


class WebhookSettings(BaseSettings):
    """Whom Argus may tell what became of jobs."""

    webhook_private: str = Field(
        "",
        description="Networks that webhooks may reach though they are not of the internet, comma separated: "
        "`10.1.0.0/16,127.0.0.1`. Empty: none.",
    )
    webhook_days: float = Field(30.0, gt=0, description="Days for which webhook events and deliveries are kept.")

    @field_validator("webhook_private")
    @classmethod
    def _of_private_networks(cls, value: str) -> str:
        networks(value)
        return value

    @property
    def webhook_networks(self) -> list[IPv4Network | IPv6Network]:
        """`webhook_private`, read."""
        return networks(self.webhook_private)
