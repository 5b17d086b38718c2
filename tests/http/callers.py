"""Requests with keys, and reading what the service says of them."""

from serve_app.schemas.tasks import ErrorResponse


def sent(token):
    return {"X-API-Key": token}


def error_code(answer):
    return (answer.status_code, ErrorResponse(**answer.json()).code)
