"""Whether an actor has lived before."""

from actors import start


def test_a_process_that_is_no_actor_is_not_reborn():
    assert not start.is_reborn()
