#!/bin/sh
# Like the public redis image: reachable from other containers, data in /data, not as root.
set -eu

case "${1:-}" in -* | *.conf) set -- redis-server "$@" ;; esac
if [ "$1" != redis-server ]; then exec "$@"; fi

shift
mkdir -p /data
chown redis:redis /data
cd /data
exec setpriv --reuid redis --regid redis --init-groups redis-server "$@" --protected-mode no --bind '*' '-::*' --dir /data
