-- Who may do what in the database of Argus: argus_owner owns the schema and migrates it, argus_app reads and writes rows,
-- argus_report reads the report views (Grafana, `argus psql --report`). None is a superuser, makes roles or reads files of
-- the server.
--
-- Run by a superuser in that database, as often as one likes: `argus up` does at every start of its own PostgreSQL, the
-- container of docker-compose.yml at its first. It also hands over what an earlier version made as superuser.
-- The passwords are given before: SET argus.owner_password, SET argus.app_password.

CREATE EXTENSION IF NOT EXISTS vector;

DO $$
DECLARE
    of_argus text;
    thing record;
BEGIN
    FOREACH of_argus IN ARRAY ARRAY['owner', 'app', 'report'] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'argus_' || of_argus) THEN
            EXECUTE format('CREATE ROLE %I', 'argus_' || of_argus);
        END IF;
        EXECUTE format(
            'ALTER ROLE %I LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS PASSWORD %L',
            'argus_' || of_argus, current_setting('argus.' || of_argus || '_password')
        );
    END LOOP;

    FOR thing IN  -- tables, views and sequences; those of columns follow their table
        SELECT c.oid::regclass AS name FROM pg_class c
        WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm', 'S')
        AND c.relowner <> 'argus_owner'::regrole
        AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid
            AND d.deptype IN ('a', 'i', 'e') AND (c.relkind = 'S' OR d.deptype = 'e'))
    LOOP
        EXECUTE format('ALTER TABLE %s OWNER TO argus_owner', thing.name);
    END LOOP;
    FOR thing IN
        SELECT p.oid::regprocedure AS name FROM pg_proc p
        WHERE p.pronamespace = 'public'::regnamespace AND p.proowner <> 'argus_owner'::regrole
        AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = p.oid AND d.deptype = 'e')
    LOOP
        EXECUTE format('ALTER ROUTINE %s OWNER TO argus_owner', thing.name);
    END LOOP;
    FOR thing IN
        SELECT t.oid::regtype AS name FROM pg_type t
        WHERE t.typnamespace = 'public'::regnamespace AND t.typtype IN ('e', 'd')
        AND t.typowner <> 'argus_owner'::regrole
        AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = t.oid AND d.deptype = 'e')
    LOOP
        EXECUTE format('ALTER TYPE %s OWNER TO argus_owner', thing.name);
    END LOOP;

    EXECUTE format('REVOKE ALL ON DATABASE %I FROM PUBLIC', current_database());
    EXECUTE format('GRANT CONNECT ON DATABASE %I TO argus_app, argus_report', current_database());
    EXECUTE format('GRANT CONNECT, CREATE, TEMPORARY ON DATABASE %I TO argus_owner', current_database());
END
$$;

GRANT USAGE, CREATE ON SCHEMA public TO argus_owner;
GRANT USAGE ON SCHEMA public TO argus_app, argus_report;
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO argus_app;
REVOKE SELECT ON ALL TABLES IN SCHEMA public FROM argus_report;
DO $$
DECLARE
    view record;
BEGIN
    FOR view IN SELECT oid::regclass AS name FROM pg_class
        WHERE relnamespace = 'public'::regnamespace AND relkind = 'v' AND relname LIKE 'report\_%'
    LOOP
        EXECUTE format('GRANT SELECT ON %s TO argus_report', view.name);
    END LOOP;
END
$$;
GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA public TO argus_app;
ALTER DEFAULT PRIVILEGES FOR ROLE argus_owner IN SCHEMA public
    GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO argus_app;
ALTER DEFAULT PRIVILEGES FOR ROLE argus_owner IN SCHEMA public GRANT USAGE, SELECT ON SEQUENCES TO argus_app;
ALTER DEFAULT PRIVILEGES FOR ROLE argus_owner IN SCHEMA public REVOKE SELECT ON TABLES FROM argus_report;
