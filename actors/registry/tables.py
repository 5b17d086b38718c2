"""The tables of the model registry.

``Store`` makes them with its own; ``RegistryStore`` reads and writes them.
"""

from sqlalchemy import Column, Integer, MetaData, String, Table, Text

metadata = MetaData()
#: A row stays when its model is deleted, so that no version number is ever given twice.
models = Table(
    "models",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("last_version", Integer, nullable=False),
)
model_versions = Table(
    "model_versions",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("record", Text, nullable=False),
)
model_aliases = Table(
    "model_aliases",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("alias", String(64), primary_key=True),
    Column("version", Integer, nullable=False),
)
