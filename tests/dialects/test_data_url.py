import pytest

from proxy.dialects.data_url import source_of
from proxy.hub.errors import CallerError
from proxy.hub.request import DataSource, UrlSource


@pytest.mark.parametrize(
    ("url", "source"),
    [
        ("https://example.com/a.png", UrlSource("https://example.com/a.png")),
        ("data:image/png;base64,aGk=", DataSource("image/png", "aGk=")),
        ("DATA:Image/PNG;base64,aGk=", DataSource("image/png", "aGk=")),
        ("data:text/plain;charset=utf-8;base64,aGk=", DataSource("text/plain", "aGk=")),
        ("data:application/pdf;base64,aG\nk=\n", DataSource("application/pdf", "aGk=")),
        ("data:,hi%20there", DataSource("text/plain", "aGkgdGhlcmU=")),
    ],
)
def test_a_url_is_read_as_what_it_names(url: str, source: UrlSource | DataSource) -> None:
    assert source_of(url, "input[0]") == source


@pytest.mark.parametrize(
    "url", ["", "data:", "data:image/png;base64", "data:image/png;base64,", "data:image/png;base64,\n"]
)
def test_a_url_without_anything_in_it_is_the_callers_fault(url: str) -> None:
    with pytest.raises(CallerError) as caught:
        source_of(url, "input[0].image_url")

    assert caught.value.param == "input[0].image_url"
