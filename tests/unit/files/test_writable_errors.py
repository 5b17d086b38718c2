"""Errors of work can be written and carried, whatever they tell of."""

import os
import pickle

from actors.files.errors import DatasetError


def test_an_error_about_a_file_whose_name_is_no_text_can_be_written():
    name = os.fsdecode(b"a\xff\xfe.iq")
    error = DatasetError(f"cannot read {name}", f"Rename {name}.")
    assert str(error).encode("utf-8").decode("utf-8") == "cannot read a\ufffd\ufffd.iq Rename a\ufffd\ufffd.iq."
    assert vars(pickle.loads(pickle.dumps(error))) == vars(error)  # noqa: S301 - our own
