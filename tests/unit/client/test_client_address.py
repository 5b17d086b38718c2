"""Where the client looks for the service."""

import pytest

from cluster.client import InvalidRequestError
from cluster.client.address import find_service


def test_what_the_caller_says_goes_before_the_environment_and_that_before_this_machine():
    environ = {"RFUAV_URL": "http://b:1/", "RFUAV_API_KEY": "k"}
    assert find_service("http://a:1", "mine", environ=environ).headers["X-API-Key"] == "mine"
    assert find_service("http://a:1/", environ=environ).url == "http://a:1"
    assert find_service(environ=environ).url == "http://b:1"
    assert find_service(environ={}).url == "http://127.0.0.1:8000"


def test_a_path_before_the_services_own_is_kept():
    assert find_service("https://gate.example/rfuav/", environ={}).url == "https://gate.example/rfuav"


@pytest.mark.parametrize("url", ["localhost:8000", "ftp://a", "http://", "http://a:b", "nonsense"])
def test_a_url_where_nothing_can_be_is_told_with_the_remedy(url):
    with pytest.raises(InvalidRequestError, match="RFUAV_URL"):
        find_service(url, environ={})


def test_a_key_that_no_header_can_carry_is_refused():
    with pytest.raises(InvalidRequestError, match="RFUAV_API_KEY"):
        find_service(api_key="a\nb", environ={})


def test_the_key_is_not_in_the_text_of_an_address():
    assert "secret" not in repr(find_service(api_key="secret", environ={}))


@pytest.mark.parametrize(
    ("url", "is_here"),
    [("http://127.0.0.1:1", True), ("http://localhost", True), ("http://[::1]:1", True), ("http://10.0.0.1", False)],
)
def test_this_machine_is_known(url, is_here):
    assert find_service(url, environ={}).is_this_machine is is_here
