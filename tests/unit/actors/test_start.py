"""Whether an actor has lived before."""

from actors import start


def test_outside_of_ray_nothing_is_reborn():
    assert not start.is_reborn()
