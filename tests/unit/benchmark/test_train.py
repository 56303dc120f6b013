import pytest

from ferlab.benchmark.train import read_config
from ferlab.errors import ConfigError


@pytest.mark.parametrize("word", ["steps=0", "rounds=0"])
def test_nothing_is_timed_in_no_step_or_round(word):
    with pytest.raises(ConfigError, match=f"{word[:-2]} must be 1 or more, got 0"):
        read_config([word])
