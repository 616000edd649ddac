#!/bin/sh
# Makes the roles of Argus in the database of docker-compose.yml; the image runs it when it makes that database, or reads
# it into its own shell where it is not executable, so it changes nothing there. For a database that exists:
#   docker compose exec postgres sh /docker-entrypoint-initdb.d/roles.sh
PGOPTIONS="-c argus.owner_password=$OWNER_PASSWORD -c argus.app_password=$APP_PASSWORD -c argus.report_password=$REPORT_PASSWORD" \
    psql --quiet --no-psqlrc --set=ON_ERROR_STOP=1 --username="$POSTGRES_USER" --dbname="$POSTGRES_DB" \
    --file="${ROLES_SQL:-/roles.sql}"
