"""The database's schema, step by step (Alembic): `argus run migrate` applies what is missing."""
