"""Images found by what their prompt means: prompts and searches as vectors, and a prompt's images by its digest."""

from alembic import op

revision = "0031"
down_revision = "0030"
branch_labels = None
depends_on = None

TABLES = (
    "CREATE TABLE prompt_embedding (tenant varchar(40) NOT NULL, digest uuid NOT NULL, "
    "embedding halfvec(384) NOT NULL, PRIMARY KEY (tenant, digest))",
    "CREATE INDEX ix_prompt_embedding_nearest ON prompt_embedding USING hnsw (embedding halfvec_cosine_ops)",
    "CREATE TABLE embedding_mark (id int PRIMARY KEY, stored_at timestamptz NOT NULL)",
    "CREATE TABLE search_text (digest uuid PRIMARY KEY, text text NOT NULL, embedding halfvec(384), "
    "asked_at timestamptz NOT NULL DEFAULT now())",
    "CREATE INDEX ix_request_prompt ON request (tenant, (md5(prompt)::uuid), stored_at DESC) "
    "WHERE stored_at IS NOT NULL",
)


def upgrade() -> None:
    for statement in TABLES:
        op.execute(statement)


def downgrade() -> None:
    op.execute("DROP INDEX ix_request_prompt")
    for table in ("search_text", "embedding_mark", "prompt_embedding"):
        op.execute(f"DROP TABLE {table}")
