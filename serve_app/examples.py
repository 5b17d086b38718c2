"""Examples of what routes take and answer, for those who read the API's description. They are data: ``documentation/examples.json``."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

_FILE: Final = Path(__file__).parent / "documentation" / "examples.json"
_JSON: Final = "application/json"


def add_examples(document: dict[str, Any]) -> None:
    """Put an example to each JSON body and each JSON answer of the document that there is one for."""
    examples: Mapping[str, Mapping[str, Any]] = json.loads(_FILE.read_text(encoding="utf-8"))
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            example = examples.get(f"{method.upper()} {path}", {})
            _put(operation.get("requestBody", {}), example.get("request"))
            _put(operation["responses"].get("200", {}), example.get("answer"))


def _put(part: dict[str, Any], example: Any) -> None:
    content = part.get("content", {})
    if example is not None and _JSON in content:
        content[_JSON]["example"] = example
