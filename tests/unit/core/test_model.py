import pytest

from actors.core.errors import InvalidSelectorError
from actors.core.model import DeviceKind, parse_selector


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("cpu", (DeviceKind.CPU, None)),
        ("cuda", (DeviceKind.GPU, None)),
        ("cuda:12", (DeviceKind.GPU, 12)),
        ("cpu:0", (DeviceKind.CPU, 0)),
    ],
)
def test_a_selector_names_a_kind_and_perhaps_a_number(text, expected):
    assert parse_selector(text) == expected


@pytest.mark.parametrize(
    "text", ["banana", "", "cuda:", "cuda:-1", "cuda:01", "cuda:1.5", "CUDA:0", "cuda:0 ", "cuda:²", "gpu:0", "cpu:99999"]
)
def test_any_other_word_is_no_device(text):
    with pytest.raises(InvalidSelectorError, match="not one of"):
        parse_selector(text)
