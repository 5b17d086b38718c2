"""A constructor that fails once an actor has been restarted ends the process, so that Ray begins anew instead of giving the actor up."""

import pytest

from actors import start


class Failing:
    ended = ()

    def construct(self, disk):
        raise OSError(28, f"no room on {disk}")

    __init__ = start.begun_anew(construct, end=lambda status: setattr(Failing, "ended", (*Failing.ended, status)))


@pytest.mark.parametrize("is_reborn", [False, True])
def test_a_constructor_that_fails_is_told_of_at_first_and_tried_again_later(monkeypatch, is_reborn):
    monkeypatch.setattr(start, "is_reborn", lambda: is_reborn)
    monkeypatch.setattr(start, "_LAST_WORDS_S", 0)
    monkeypatch.setattr(Failing, "ended", ())
    if is_reborn:
        Failing("disk")
    else:
        with pytest.raises(OSError, match="no room on disk"):
            Failing("disk")
    assert Failing.ended == ((1,) if is_reborn else ())


def test_outside_of_ray_nothing_is_reborn():
    assert not start.is_reborn()
