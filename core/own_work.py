"""Work that Argus orders for itself: audits, and images that are drawn again. It is nobody's traffic.

No figure that people read shows it, no bound of theirs counts it, and no time that they are told includes it.
"""

from __future__ import annotations

from core.tables import Job

SOURCE = "audit"  # of its jobs
FROM_USERS = Job.source != SOURCE
FROM_USERS_SQL = f"j.source <> '{SOURCE}'"  # where a statement calls the job `j`
