"""Numbers as they are printed."""


def number(value: float) -> str:
    """Three significant digits, or whole with commas."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
