"""Steps of a fix: numbers in a text, and back."""

import pytest

from app.mail.outcome.fix_steps import numbered, steps_of


@pytest.mark.parametrize(
    "steps", [(), ("Nothing to do.",), ("Open it.", "Close it."), tuple(f"Do {number}." for number in range(1, 13))]
)
def test_a_numbered_fix_has_its_steps(steps: tuple[str, ...]) -> None:
    """Also with more than nine; a single one has no number."""
    assert steps_of(numbered(*steps)) == steps


@pytest.mark.parametrize(
    "fix", ["Use TLS 1.2. Then wait.", "It takes 1. Wait 2. more.", "1. Only one.", "Begin at 1. Then 2. Then 3. Done."]
)
def test_other_numbers_are_text(fix: str) -> None:
    """A list begins the text with 1 and has at least two steps."""
    assert steps_of(fix) == (fix,)
