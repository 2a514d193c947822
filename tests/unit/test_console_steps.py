"""Markup of a fix: numbered steps, commands with a copy button, and times."""

import pytest

from app.console.templates_env import steps

COPY = '<button type="button" class="copy" data-script data-copy="{0}" hidden>Copy</button>'


@pytest.mark.parametrize(
    ("text", "markup"),
    [
        ("Wait.", "Wait."),
        ("1. Do a. 2. Do b.", '<ol class="steps"><li>Do a.</li><li>Do b.</li></ol>'),
        ("To fix it: 1. Do a. 2. Do b.", "To fix it: 1. Do a. 2. Do b."),  # a fix begins with its first step
        ("Only 1. One.", "Only 1. One."),
        ("1. A 3. C", "1. A 3. C"),
        ("Port 587. 1. A", "Port 587. 1. A"),
        ("Run `a b`, then `c`.", f"Run <code>a b</code>{COPY.format('a b')}, then <code>c</code>."),
        ("`a` x `b c` y `d`", f"<code>a</code> x <code>b c</code>{COPY.format('b c')} y <code>d</code>"),
        ('<b> `x "y"`', f"&lt;b&gt; <code>x &#34;y&#34;</code>{COPY.format('x &#34;y&#34;')}"),
    ],
)
def test_steps(text: str, markup: str) -> None:
    """Everything else is escaped."""
    assert str(steps(text)) == markup
