import pickle

import pytest

from actors.core import errors


def all_error_classes(base=errors.ActorSystemError):
    for cls in base.__subclasses__():
        yield cls
        yield from all_error_classes(cls)


EXAMPLES = {
    errors.InvalidTransitionError: ("task-1", "completed", ("pending", "cancelled")),
    errors.SubmissionError: ("path_not_found", "train_path", "no such folder: x", "create it"),
    errors.StaleTokenError: (3, 7),
    errors.LimitError: ("cuda:0.training", "65 is not within 0 to 64"),
}


@pytest.mark.parametrize("cls", sorted(set(all_error_classes()), key=lambda cls: cls.__name__))
def test_every_error_crosses_a_process_boundary_unchanged(cls):
    args = EXAMPLES.get(cls)
    if args is None:
        args = ("id-1", "because") if issubclass(cls, (errors.RequestError, errors.ModelError)) else ("id-1",)
    error = cls(*args)
    copy = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own bytes
    assert type(copy) is cls
    assert str(copy) == str(error) != ""
    assert copy.code == error.code
    assert vars(copy) == vars(error)


@pytest.mark.parametrize("reason", ["database or disk is full", "could not extend file: No space left on device"])
def test_a_full_store_is_told_with_its_remedy(reason):
    assert "free some space on the store's disk" in str(errors.StoreUnavailableError(reason))
    assert "free some space" not in str(errors.StoreUnavailableError("database is locked"))
