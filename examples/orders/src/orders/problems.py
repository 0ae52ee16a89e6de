"""Errors as clients see them: application/problem+json (RFC 9457)."""

import json

import structlog
from flask import Flask, Response
from psycopg import OperationalError
from psycopg_pool import PoolTimeout
from pydantic import ValidationError
from werkzeug.exceptions import HTTPException

log = structlog.get_logger(__name__)


def problem(status: int, title: str, detail: str, **more: object) -> Response:
    """Build an error answer; `more` are further members of the problem."""
    body = {"type": "about:blank", "title": title, "status": status, "detail": detail, **more}
    return Response(json.dumps(body), status, content_type="application/problem+json")


def handle_all(app: Flask) -> None:
    """Make every error of the app a problem."""
    app.register_error_handler(ValidationError, _invalid)
    app.register_error_handler(HTTPException, _http)
    app.register_error_handler(OperationalError, _no_database)
    app.register_error_handler(PoolTimeout, _no_database)
    app.register_error_handler(Exception, _bug)


def _invalid(error: ValidationError) -> Response:
    faults = [{"field": ".".join(map(str, f["loc"])), "message": f["msg"]} for f in error.errors(include_url=False)]
    if any(fault["type"] == "json_invalid" for fault in error.errors(include_url=False)):
        return problem(400, "Bad Request", "the body is not JSON", errors=faults)
    return problem(422, "Unprocessable Content", "the request has faults", errors=faults)


def _http(error: HTTPException) -> Response:
    answer = problem(error.code or 500, error.name, error.description or error.name)
    for name, value in error.get_headers():
        if name.lower() not in ("content-type", "content-length"):
            answer.headers[name] = value
    return answer


def _no_database(error: Exception) -> Response:
    log.error("database unreachable", error=str(error))
    return problem(503, "Service Unavailable", "the database cannot be reached")


def _bug(error: Exception) -> Response:
    log.error("unhandled error", exc_info=error)
    return problem(500, "Internal Server Error", "the service failed; its log says more")
