"""Users' files: where they may lie, which there are, how they are written, and the errors that all work on them shares.

The floor that learning, signals and preprocessing stand on. It imports none of them, and neither torch nor Ray.
"""
