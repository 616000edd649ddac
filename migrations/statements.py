"""What several migrations do: comment views, change a term of SQL that many functions or views have."""

from alembic import op

from migrations.report_comments import COMMENTS


def comment_views(revision: str) -> None:
    """Say in the database what the views and columns are that a revision made or changed."""
    for name, (about, columns) in COMMENTS[revision].items():
        op.execute(f"COMMENT ON VIEW {name} IS {quoted(about)}")
        for column, meaning in columns.items():
            op.execute(f"COMMENT ON COLUMN {name}.{column} IS {quoted(meaning)}")


def replace_in_functions(old: str, new: str) -> None:
    """Replace a term in every function that has it."""
    _replace(
        f"SELECT pg_get_functiondef(p.oid) FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace "
        f"WHERE n.nspname = current_schema() AND p.prokind = 'f' AND strpos(p.prosrc, {quoted(old)}) > 0",
        old,
        new,
    )


def replace_in_views(old: str, new: str) -> None:
    """Replace a term, as PostgreSQL prints it, in every view that has it; columns and comments stay."""
    _replace(
        f"SELECT format('CREATE OR REPLACE VIEW %I AS ', viewname) || definition FROM pg_views "
        f"WHERE schemaname = current_schema() AND strpos(definition, {quoted(old)}) > 0",
        old,
        new,
    )


def quoted(words: str) -> str:
    """Words as SQL writes them."""
    return "'" + words.replace("'", "''") + "'"


def _replace(definitions: str, old: str, new: str) -> None:
    op.execute(f"""
        DO $$ DECLARE known text; BEGIN
            FOR known IN {definitions} LOOP
                EXECUTE replace(known, {quoted(old)}, {quoted(new)});
            END LOOP;
            IF NOT FOUND THEN
                RAISE EXCEPTION 'nothing has the term %', {quoted(old)};
            END IF;
        END $$
    """)
