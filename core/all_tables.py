"""Every table that PostgreSQL keeps, for those who need all: migrations, and tests that empty them."""

from __future__ import annotations

import core.batch_tables
import core.client_tables
import core.gang_tables
import core.outputs
import core.search_tables
import core.tally_tables
import core.webhook_tables
import core.what_if_tables  # noqa: F401 - its tables join those of `Base`
from core.tables import Base as Base
