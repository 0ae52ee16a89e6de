#!/bin/sh
# The part of the public postgres image's conduct that tests rely on: a database made from POSTGRES_… on first start.
set -eu

if [ "${1#-}" != "$1" ]; then set -- postgres "$@"; fi
if [ "$1" != postgres ]; then exec "$@"; fi

if [ "$(id -u)" = 0 ]; then
    mkdir -p "$PGDATA" /run/postgresql
    chown -R postgres:postgres "$PGDATA" /run/postgresql
    exec setpriv --reuid postgres --regid postgres --init-groups --reset-env \
        env PATH="$PATH" LANG="${LANG:-C.UTF-8}" PGDATA="$PGDATA" POSTGRES_USER="${POSTGRES_USER:-postgres}" \
        POSTGRES_PASSWORD="${POSTGRES_PASSWORD:-}" POSTGRES_DB="${POSTGRES_DB:-${POSTGRES_USER:-postgres}}" \
        POSTGRES_INITDB_ARGS="${POSTGRES_INITDB_ARGS:-}" \
        POSTGRES_HOST_AUTH_METHOD="${POSTGRES_HOST_AUTH_METHOD:-}" "$0" "$@"
fi

if [ ! -s "$PGDATA/PG_VERSION" ]; then
    if [ -z "$POSTGRES_PASSWORD" ] && [ "$POSTGRES_HOST_AUTH_METHOD" != trust ]; then
        echo "Error: Database is uninitialized and superuser password is not specified." >&2
        exit 1
    fi
    chmod 700 "$PGDATA"
    secret=$(mktemp)
    printf '%s\n' "${POSTGRES_PASSWORD:-unused}" >"$secret"
    # shellcheck disable=SC2086  # the arguments are several words
    initdb --username="$POSTGRES_USER" --pwfile="$secret" --no-sync --auth-local=trust \
        --auth-host=scram-sha-256 $POSTGRES_INITDB_ARGS -D "$PGDATA"
    rm -f "$secret"
    echo "host all all all ${POSTGRES_HOST_AUTH_METHOD:-scram-sha-256}" >>"$PGDATA/pg_hba.conf"
    printf "listen_addresses = '*'\njit = off\nunix_socket_directories = '/run/postgresql'\n" >>"$PGDATA/postgresql.conf"
    if [ "$POSTGRES_DB" != postgres ]; then
        # no server listens meanwhile, so nobody takes the database for ready too early
        printf 'CREATE DATABASE "%s";\n' "$POSTGRES_DB" | postgres --single -j -D "$PGDATA" postgres >/dev/null
    fi
fi
exec "$@"
