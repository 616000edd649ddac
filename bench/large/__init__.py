"""A database with a million requests: how long pages, listings, reports and metrics take on it (`__main__.py`)."""
