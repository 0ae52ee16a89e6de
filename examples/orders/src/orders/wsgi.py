"""The application that gunicorn serves."""

import os
import time
import uuid

import structlog
from flask import Flask, Response, g, request

from orders.logs import configure_structlog
from orders.parts import Parts, connect
from orders.problems import handle_all
from orders.settings import from_environment
from orders.web import routes

log = structlog.get_logger(__name__)


def create_app(parts: Parts) -> Flask:
    """Put the application together."""
    app = Flask("orders")
    app.config["MAX_CONTENT_LENGTH"] = 256 * 1024
    app.extensions["orders"] = parts
    app.register_blueprint(routes)
    app.before_request(_begin)
    app.after_request(_end)
    handle_all(app)
    return app


def _begin() -> None:
    g.began = time.monotonic()
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(request=uuid.uuid4().hex)


def _end(answer: Response) -> Response:
    milliseconds = round(1000 * (time.monotonic() - g.began), 1)
    log.info("request", method=request.method, path=request.path, status=answer.status_code, ms=milliseconds)
    return answer


configure_structlog()
app = create_app(connect(from_environment(os.environ)))
