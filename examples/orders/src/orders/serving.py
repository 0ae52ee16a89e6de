"""Gunicorn's settings, read by `--config python:orders.serving`."""

import os

from orders.logs import configuration

workers = int(os.environ.get("WEB_CONCURRENCY", "2"))
threads = 4
worker_class = "gthread"
# The workers' heartbeat files: on a disk that stalls, gunicorn would take a healthy worker for a hung one.
worker_tmp_dir = "/dev/shm"
logconfig_dict = configuration(os.environ.get("LOG_LEVEL", "info")) | {
    "loggers": {name: {"level": "INFO", "handlers": [], "propagate": True} for name in ("gunicorn.error",)},
}
control_socket_disable = True
