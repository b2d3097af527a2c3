# /// script
# requires-python = ">=3.11"
# [tool.changeover]
# id = "pricing"
# version = "1.0.0"
# extensions = { "shop.pricing" = "pricing:price" }
# ///
"""This week's prices."""

PRICES = {"reel": 12, "lamp": 100, "screen": 250}
VERSION = "1.0.0"


def price(item: str) -> tuple[int, str]:
    """The price of an item, and whose it is."""
    return PRICES[item], VERSION
