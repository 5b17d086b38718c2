"""Actors whose rebirth may fail and is tried again.

Ray starts an actor anew when its process dies, but never again once its constructor has raised: an accountant that comes back while the
store's disk is full would be gone for good, and every task with it. A process that ends itself instead is one more death, which Ray
answers with one more start.
"""

import threading
from typing import Any, Final

import ray

from actors.duties import end_process

#: Between two tries; Ray itself takes about a second for a new process.
_PAUSE_S: Final = 1.0


def tried_again(part: type) -> type:
    """The same class, whose constructor ends the process where it fails in an actor that has lived before.

    The first construction raises as ever: whoever creates the actor is there to hear what is wrong.
    """

    class Reborn(part):  # type: ignore[misc]  # the class is known only when it runs
        def __init__(self, *args: Any) -> None:
            try:
                super().__init__(*args)
            except Exception as error:
                if not ray.get_runtime_context().was_current_actor_reconstructed:
                    raise
                threading.Event().wait(_PAUSE_S)
                end_process(error)

    # Ray's dashboard, and the titles of processes, show this name.
    Reborn.__name__ = Reborn.__qualname__ = part.__name__
    Reborn.__doc__ = part.__doc__
    return Reborn
