#!/bin/bash
# The part of the public mariadb image's conduct that tests rely on: users and a database from MARIADB_… on first start.
set -eu

data=/var/lib/mysql
first=()
case "${1:-}" in -*) set -- mariadbd "$@" ;; esac
if [ "$1" != mariadbd ]; then exec "$@"; fi

quoted() { printf "'%s'" "$(printf %s "$1" | sed "s/[\\\\']/\\\\&/g")"; }

mkdir -p "$data" /run/mysqld
chown mysql:mysql "$data" /run/mysqld
if [ ! -d "$data/mysql" ]; then
    root=${MARIADB_ROOT_PASSWORD:-${MYSQL_ROOT_PASSWORD:-}}
    user=${MARIADB_USER:-${MYSQL_USER:-}}
    password=${MARIADB_PASSWORD:-${MYSQL_PASSWORD:-}}
    database=${MARIADB_DATABASE:-${MYSQL_DATABASE:-}}
    if [ -z "$root$password${MARIADB_RANDOM_ROOT_PASSWORD:-}${MARIADB_ALLOW_EMPTY_ROOT_PASSWORD:-}" ]; then
        echo 'error: database is uninitialized and no password option is specified' >&2
        exit 1
    fi
    mariadb-install-db --user=mysql --datadir="$data" --skip-test-db --auth-root-authentication-method=socket >/dev/null
    # the server runs this before it listens: nobody takes the database for ready too early
    sql=/run/mysqld/first.sql
    install -m 600 -o mysql -g mysql /dev/null "$sql"
    {
        if [ -n "$root" ]; then
            echo "CREATE USER 'root'@'%' IDENTIFIED BY $(quoted "$root");"
            echo "GRANT ALL ON *.* TO 'root'@'%' WITH GRANT OPTION;"
            echo "ALTER USER 'root'@'localhost' IDENTIFIED VIA unix_socket OR mysql_native_password USING PASSWORD($(quoted "$root"));"
        fi
        if [ -n "$database" ]; then echo "CREATE DATABASE \`${database//\`/\`\`}\`;"; fi
        if [ -n "$user" ]; then
            echo "CREATE USER $(quoted "$user")@'%' IDENTIFIED BY $(quoted "$password");"
            if [ -n "$database" ]; then
                name=${database//\`/\`\`}
                echo "GRANT ALL ON \`${name//_/\\_}\`.* TO $(quoted "$user")@'%';"
            fi
        fi
    } >"$sql"
    first=(--init-file="$sql")
fi
exec setpriv --reuid mysql --regid mysql --init-groups \
    "$@" --datadir="$data" --bind-address='*' --skip-name-resolve "${first[@]}"
