"""The application's own functions, tried without a server: plugins come from where changeover.toml says."""

from shop import priced, pricers


def test_a_reel_is_reduced() -> None:
    line = priced("reel")
    assert (line.price, line.by) == (1080, ["1.0.0"])


def test_prices_come_from_one_plugin() -> None:
    assert [pricer.price("lamp", 100) for pricer in pricers()] == [100]
