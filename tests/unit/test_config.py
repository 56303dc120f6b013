import pytest

from ferlab.config import compose
from ferlab.errors import ConfigError

AWKWARD = [
    "faces/a b*.png", "gesichter/ä *.png", "日本/*.jpg", "a,b.png", "a=b.png", "[ab]?.png", "face (1).png", "~/x",
    "it's.png", "back\\'s.png", "ends\\", "{a}.png", "C:\\faces\\x.png", "a;b#c!.png",
]  # fmt: skip


@pytest.mark.parametrize("value", AWKWARD)
def test_a_path_needs_no_quotes_of_hydras_own(value):
    assert compose("predict", ["bundle=b", f"source={value}"]).source == value


def test_a_quoted_path_loses_its_quotes():
    assert compose("predict", ["bundle=b", "source='ä b.png'"]).source == "ä b.png"


def test_a_number_that_does_not_parse_stays_an_error():
    with pytest.raises(ConfigError, match="cannot compose"):
        compose("predict", ["bundle=b", "source=x", "top=[1"])
