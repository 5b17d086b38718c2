"""What people read when a part of the service does not come up."""

from actors.system import explain_death

NEWER = """The actor died because of an error raised in its creation task, ray::supervisor:TaskSupervisor.__init__() (pid=1)
  File "/somewhere/actors/store.py", line 1, in _prepare
actors.core.errors.StoreUnavailableError: the store cannot be used now: it was written by a newer version (schema 99)"""


def test_an_error_of_our_own_is_told_without_its_traceback():
    assert explain_death(RuntimeError(NEWER)) == "the store cannot be used now: it was written by a newer version (schema 99)"


def test_of_any_other_death_all_is_told():
    for text in ("The actor died unexpectedly", f"{NEWER}\nKeyError: 'x: y'", ""):
        assert explain_death(RuntimeError(text)) == text
