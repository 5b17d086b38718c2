"""Seeds for random numbers that depend on a place in a training alone, such as an epoch or a picture's turn in it."""

import hashlib


def mixed_seed(*parts: int) -> int:
    """Mix numbers into one seed of 64 bits.

    Hashed, so that epoch 1 of seed 0 and epoch 0 of seed 1 have nothing in common.
    """
    digest = hashlib.sha256("/".join(map(str, parts)).encode()).digest()
    return int.from_bytes(digest[:8], "little", signed=True)
