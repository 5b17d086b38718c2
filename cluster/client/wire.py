"""A call as an HTTP request."""

import httpx

from cluster.client.bodies import Streamed
from cluster.client.operation import Call


def build_request(http: httpx.Client | httpx.AsyncClient, url: str, call: Call[object]) -> httpx.Request:
    """The request of a call to the service at a URL; its body is read anew whenever it is sent."""
    query = {name: value for name, value in call.query.items() if value is not None}
    headers = dict(call.headers)
    content = call.body if isinstance(call.body, bytes) else None
    own: dict[str, float | None] = {} if call.timeout_s is None else {"read": call.timeout_s}
    silences = http.timeout.as_dict() | own
    if call.longest_s is not None:
        silences = {name: call.longest_s if each is None else min(each, call.longest_s) for name, each in silences.items()}
    timeout = httpx.Timeout(**silences)
    if isinstance(call.body, Streamed):
        headers["Content-Length"] = str(call.body.size)
    request = http.build_request(
        call.operation.method, url + call.path, params=query, headers=headers, content=content, timeout=timeout
    )
    if not isinstance(call.body, Streamed):
        return request
    return httpx.Request(request.method, request.url, headers=request.headers, stream=call.body, extensions=request.extensions)
