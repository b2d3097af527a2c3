"""Parts of documentation pages that are made from the code, each between a pair of marks."""


def replace_marked(page: str, part: str, text: str) -> str:
    """Put `text` between the marks of a part: `<!-- part: begin -->` and `<!-- part: end -->`.

    Args:
        page: The whole page.
        part: Name of the part.
        text: Without a line break at its end.

    Raises:
        ValueError: The marks are missing.
    """
    begins, ends = f"<!-- {part}: begin -->", f"<!-- {part}: end -->"
    head, begin, rest = page.partition(begins)
    _, end, tail = rest.partition(ends)
    if not begin or not end:
        raise ValueError(f"the page has no {begins} and {ends}")
    return f"{head}{begins}\n{text}\n{ends}{tail}"
