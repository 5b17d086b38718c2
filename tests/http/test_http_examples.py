"""The examples of the API's description: there for every operation, and right by the models that they are examples of."""

import jsonschema_rs
import pytest
from fastapi.routing import APIRoute
from pydantic import TypeAdapter

from serve_app.app import all_routes

pytestmark = pytest.mark.anyio
JSON = "application/json"


def operations(document):
    """Each operation as (name, path, method, operation)."""
    return [(path, method, each) for path, methods in document["paths"].items() for method, each in methods.items()]


def contents(document):
    """The JSON bodies and answers of all operations, by what they are of."""
    found = {}
    for path, method, operation in operations(document):
        parts = {"request": operation.get("requestBody", {}), "answer": operation["responses"].get("200", {})}
        for kind, part in parts.items():
            if JSON in part.get("content", {}):
                found[f"{kind} of {method.upper()} {path}"] = part["content"][JSON]
    return found


async def test_every_json_body_and_answer_has_an_example(built_app):
    missing = [name for name, content in contents(built_app.openapi()).items() if "example" not in content]
    assert missing == []


async def test_every_example_is_right_by_its_schema(built_app):
    document = built_app.openapi()
    wrong = {}
    for name, content in contents(document).items():
        schema = content["schema"] | {"components": document["components"]}
        errors = [
            f"{error.instance_path} {error.message}"
            for error in jsonschema_rs.validator_for(schema).iter_errors(content["example"])
        ]
        if errors:
            wrong[name] = errors[:2]
    assert wrong == {}


async def test_every_example_of_a_body_is_one_that_its_route_takes(built_app):
    document = built_app.openapi()
    for route in all_routes(built_app):
        if not isinstance(route, APIRoute) or route.body_field is None:
            continue
        for method in route.methods:
            body = document["paths"][route.path][method.lower()]["requestBody"]["content"][JSON]
            TypeAdapter(route.body_field.field_info.annotation).validate_python(body["example"])
