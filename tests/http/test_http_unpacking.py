"""Packed tensors take no more memory than there is, and no more than their terms allow."""

import gzip
import zlib

import pytest

from actors.core.errors import ServingFullError
from serve_app.receiving import BodyRoom
from serve_app.tensors import InferTerms, TensorError, TooLargeError, read_infer_request, unpack
from tests.fake_serving import make_served

MIB = 1 << 20
CONTENT = bytes(5 * MIB) + b"end"


def terms(reserve=lambda _size: None, *, most_bytes=8 * MIB):
    return InferTerms(make_served(), most_bytes, 2, reserve)


@pytest.mark.parametrize("pack", [gzip.compress, zlib.compress, lambda content: zlib.compress(content, 0)])
def test_what_was_packed_comes_out_and_all_of_it_is_reserved(pack):
    sizes = []
    assert unpack(pack(CONTENT), "gzip", terms(sizes.append)) == CONTENT
    assert sum(sizes) == len(CONTENT)


def test_a_body_that_swells_ends_where_the_room_does_and_gives_it_back():
    room = BodyRoom(3 * MIB)
    with room.take() as held:
        with pytest.raises(ServingFullError):
            unpack(zlib.compress(CONTENT), "deflate", terms(held.grow))
        assert 2 * MIB <= held.size_bytes <= 3 * MIB
    with room.take() as held:
        held.grow(3 * MIB)


def test_a_body_that_swells_beyond_its_limit_is_too_large():
    with pytest.raises(TooLargeError):
        unpack(zlib.compress(CONTENT), "deflate", terms(most_bytes=MIB))


@pytest.mark.parametrize(
    "change", [lambda packed: packed[:-2], lambda packed: packed + b"x", lambda packed: packed + bytes(3 * MIB)]
)
def test_half_a_piece_and_more_than_one_are_refused(change):
    with pytest.raises(TensorError, match="not one whole piece"):
        unpack(change(zlib.compress(CONTENT)), "deflate", terms())


def test_more_pictures_than_a_request_may_have_are_refused_before_they_are_read():
    head = b'{"inputs":[{"name":"input","datatype":"FP32","shape":[3,3,32,32],"data":[]}]}'
    with pytest.raises(TensorError, match="3 pictures, and a request may have 2"):
        read_infer_request(head, None, terms())
