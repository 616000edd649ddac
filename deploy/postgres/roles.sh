#!/bin/sh
# Makes the roles of Argus in the database of docker-compose.yml; the image runs it when it makes that database. For one
# that exists: docker compose exec postgres sh /docker-entrypoint-initdb.d/roles.sh
set -eu
PGOPTIONS="-c argus.owner_password=$OWNER_PASSWORD -c argus.app_password=$APP_PASSWORD -c argus.report_password=$REPORT_PASSWORD" \
    exec psql --quiet --no-psqlrc --set=ON_ERROR_STOP=1 --username="$POSTGRES_USER" --dbname="$POSTGRES_DB" \
    --file="${ROLES_SQL:-/roles.sql}"
