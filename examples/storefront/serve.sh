#!/bin/sh
# The built-in server, were it the first process of a container, would pass over SIGTERM.
php -S "0.0.0.0:${PORT:-8000}" -t public public/index.php &
trap 'kill "$!"' TERM INT
wait "$!"
