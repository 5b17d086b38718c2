"""An actor as a user's program has it; in a module of its own, since workers import what they run."""

import os


class Worker:
    """Says who it is."""

    def pid(self):
        return os.getpid()
