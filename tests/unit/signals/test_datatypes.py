"""Every datatype comes back as it was written, on any host."""

import numpy as np
import pytest

from actors.signals.datatypes import parse_datatype
from actors.signals.errors import RecordingFormatError
from tests.unit.signals.recordings import DATATYPES, encode, make_samples, step_of


@pytest.mark.parametrize("name", DATATYPES)
def test_samples_round_trip(name):
    samples = make_samples(1000)
    decoded = parse_datatype(name).decode(encode(samples, name))
    assert decoded.dtype == np.complex64
    assert parse_datatype(name).name == name
    error = np.abs((decoded - samples).view(np.float32)).max()
    assert error <= 0.51 * step_of(name) + 1e-7


#: Written out by hand, so that no host's byte order can make both sides wrong alike.
@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("cf32_le", "0000803f 000000c0", 1 - 2j),
        ("cf32_be", "3f800000 c0000000", 1 - 2j),
        ("cf64_le", "000000000000f03f 00000000000000c0", 1 - 2j),
        ("cf64_be", "3ff0000000000000 c000000000000000", 1 - 2j),
        ("ci16_le", "0040 0080", 0.5 - 1j),
        ("ci16_be", "4000 8000", 0.5 - 1j),
        ("ci24_le", "000040 000080", 0.5 - 1j),
        ("ci24_be", "400000 800000", 0.5 - 1j),
        ("ci32_le", "00000040 00000080", 0.5 - 1j),
        ("ci32_be", "40000000 80000000", 0.5 - 1j),
        ("ci8", "40 80", 0.5 - 1j),
        ("cs8", "40 80", 0.5 - 1j),
        ("cu8", "ff 00", 1 - 1j),
        ("cu16_le", "ffff 0000", 1 - 1j),
        ("cu16_be", "ff00 0000", (0xFF00 - 32767.5) / 32767.5 - 1j),
        ("cu32_le", "ffffffff 00000000", 1 - 1j),
        ("cu32_be", "ffffffff 00000000", 1 - 1j),
    ],
)
def test_bytes_mean_the_same_on_every_host(name, content, expected):
    decoded = parse_datatype(name).decode(bytes.fromhex(content))
    assert decoded.tolist() == [pytest.approx(expected, abs=1e-7)]


def test_the_middle_of_unsigned_values_is_no_signal():
    assert parse_datatype("cu8").decode(bytes([127, 128])).tolist() == [pytest.approx(complex(-0.5 / 127.5, 0.5 / 127.5))]


def test_weak_signals_of_32_bits_keep_their_steps():
    near_middle = np.array([2**31, 2**31 + 5], dtype="<u4").tobytes()
    assert parse_datatype("cu32").decode(near_middle)[0] == pytest.approx(complex(0.5, 5.5) / (2**31 - 0.5), rel=1e-6)


def test_floating_point_is_never_normalised():
    assert parse_datatype("cf32").decode(np.array([1e6, -3e5], dtype="<f4").tobytes()).tolist() == [1e6 - 3e5j]


@pytest.mark.parametrize("name", ["cf16", "ci12_le", "float32", "", "cu24", "ci16_xx", "c16", "ci16_le_be", "cu64"])
def test_a_datatype_that_does_not_exist_is_refused(name):
    with pytest.raises(RecordingFormatError, match="no datatype"):
        parse_datatype(name)


@pytest.mark.parametrize("name", ["rf32_le", "ri16", "ru8", "rf64_be"])
def test_real_samples_are_refused_with_the_reason(name):
    with pytest.raises(RecordingFormatError, match="real samples") as failed:
        parse_datatype(name)
    assert "complex" in failed.value.hint


def test_content_that_ends_within_a_sample_is_refused():
    with pytest.raises(ValueError, match=r"."):
        parse_datatype("ci16").decode(b"12345")
