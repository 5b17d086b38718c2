"""Where the service lives, as the accountant tells whoever joins it or rebuilds a part of it."""

from dataclasses import dataclass

from configs.settings import Settings


@dataclass(frozen=True, slots=True)
class Home:
    """Where the service lives.

    Attributes:
        settings: what it was started with.
        node_id: Ray's id of the node that its store and logs are on.
    """

    settings: Settings
    node_id: str
