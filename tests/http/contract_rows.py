"""What a row of the HTTP contract is, and how an answer is held against it: fields and types, the model, the served document."""

from dataclasses import dataclass, field
from typing import Any

import jsonschema_rs
from pydantic import TypeAdapter

from actors.learning.history_files import CONFUSION_JSON, METRICS_CSV, confusion_json, metrics_csv

TEXT, WHOLE, NUMBER, YES_NO, MANY, BY_NAME = (str,), (int,), (int, float), (bool,), (list,), (dict,)
NONE = (type(None),)

ERROR = {"status": TEXT, "code": TEXT, "message": TEXT, "detail": TEXT + MANY, "timestamp": TEXT}
FIGURES = """
    epoch total_epochs train_loss train_acc val_loss val_acc macro_f1 micro_f1 mAP top1_acc top3_acc top5_acc macro_precision
    macro_recall micro_precision micro_recall precision recall learning_rate best_acc f1_score
"""
METRICS = FIGURES.split()


@dataclass(frozen=True)
class Row:
    """One row of the contract.

    ``fields`` names every field of the answer with its types; ``inside`` the fields of parts of it, by where they are: keys and
    numbers with dots between.
    """

    method: str
    path: str
    model: Any
    fields: dict
    body: Any = None
    inside: dict = field(default_factory=dict)
    status: int = 200

    def __str__(self):
        return f"{self.method} {self.path}"


def write_history(folder, figures):
    folder.mkdir(parents=True)
    (folder / METRICS_CSV).write_text(metrics_csv([figures]))
    (folder / CONFUSION_JSON).write_text(confusion_json([[3, 1], [0, 4]], ["fpv", "other"], 1))


def part(value, where):
    """A part of an answer: ``a.0.b``."""
    for step in where.split("."):
        value = value[int(step)] if isinstance(value, list) else value[step]
    return value


def check_fields(found, wanted):
    assert set(found) == set(wanted)
    assert {name: type(value) for name, value in found.items() if type(value) not in wanted[name]} == {}


def schema_of(document, row, status):
    """What the document says of a row's answer: the schema, or None where it names no such operation or status."""
    path = row.path.partition("?")[0]
    for template, operations in document["paths"].items():
        names = zip(template.split("/"), path.split("/"), strict=False)
        is_same = template.count("/") == path.count("/") and all(a == b or a.startswith("{") for a, b in names)
        if is_same and row.method.lower() in operations:
            return operations[row.method.lower()]["responses"][str(status)]["content"]["application/json"]["schema"]
    raise AssertionError(f"{row} is not in the document")


async def check_answer(client, app, row, **blanks):
    """Send a row's request, and hold the answer against the row, its model and the document."""
    answer = await client.request(row.method, row.path.format(**blanks), json=row.body)
    assert answer.status_code == row.status, answer.text
    TypeAdapter(row.model).validate_json(answer.content, strict=True)
    body = answer.json()
    if row.fields:
        check_fields(body, row.fields)
    for where, wanted in row.inside.items():
        if isinstance(body, list):
            assert set(part(body, where)) >= set(wanted)
        else:
            check_fields(part(body, where), wanted)
    document = app.openapi()
    schema = schema_of(document, row, row.status) | {"components": document["components"]}
    jsonschema_rs.validator_for(schema).validate(body)
