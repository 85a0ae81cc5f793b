"""An address says which platform it is of."""

import pytest

from twin_core.collect.guessing import platform_of


@pytest.mark.parametrize(
    ("address", "platform"),
    [
        ("https://ada.example/blog", "web"),
        ("ada.example", "web"),
        ("https://github.com/ada", "github"),
        ("https://github.com/ada/tides", "git"),
        ("https://code.example/ada/tides.git", "git"),
        ("https://medium.com/@ada", "medium"),
        ("@ada", "medium"),
        ("https://ada.medium.com/", "medium"),
        ("https://ada.substack.com", "substack"),
        ("https://www.linkedin.com/in/ada-example", "linkedin"),
        ("@ada@social.example", "mastodon"),
        ("https://social.example/@ada", "mastodon"),
    ],
)
def test_an_address_says_which_platform_it_is_of(address: str, platform: str) -> None:
    assert platform_of(address) == platform
