"""Requests with keys, and reading what the service says of them."""

from serve_app.schemas.tasks import ErrorResponse


def sent(token):
    return {"X-API-Key": token}


#: What the Open Inference Protocol's errors do not tell.
CODES = {401: "key_required", 403: "role_too_low"}


def error_code(answer):
    if answer.request.url.path.startswith("/v2"):
        assert list(answer.json()) == ["error"]
        return (answer.status_code, CODES.get(answer.status_code))
    return (answer.status_code, ErrorResponse(**answer.json()).code)
