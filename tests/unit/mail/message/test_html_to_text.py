"""Text from HTML: readable text, in linear time."""

import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.mail.message.html_to_text import CUT, TEXT_LIMIT, text_from_html

CASES = {
    "words": ("Hello  \n  world", "Hello world"),
    "inline": ("<p>a <b>bold</b>, <i> it </i>x</p>", "a bold, it x"),
    "paragraphs": ("<p>one</p><p>two</p>three<p>four", "one\n\ntwo\n\nthree\n\nfour"),
    "breaks": ("a<br>b<br/>c<BR><br>d", "a\nb\nc\n\nd"),
    "divisions": ("<div>a<div>b</div></div><div>c</div>", "a\nb\nc"),
    "headings": ("<h1>T</h1>x<h2>U</h2>y", "T\n\nx\n\nU\n\ny"),
    "entities": ("&lt;a&gt; &amp; &euro;5&nbsp;&#8211; &#x41;", "<a> & €5 – A"),
    "list": ("x<ul><li>a<li>b</ul>y", "x\n\n- a\n- b\n\ny"),
    "numbers": ("<ol><li>a</li><li>b</li></ol>", "1. a\n2. b"),
    "nested list": ("<ul><li>a<ol><li>b</ol><li>c</ul>", "- a\n  1. b\n- c"),
    "item with paragraph": ("<ul><li><p>a</p></li><li><p>b</p></li></ul>", "- a\n\n- b"),
    "item of two lines": ("<ul><li>a<br>b</li></ul>", "- a\n  b"),
    "stray item": ("<li>a</li></ul></ol>b", "- a\n\nb"),
    "link": ('<a href="https://x.com/?a=1&amp;b=2">See</a>.', "See (https://x.com/?a=1&b=2)."),
    "bare link": ('<a href="https://www.x.com/">x.com</a>', "x.com"),
    "mail link": ('<a href="mailto:a@x.com?subject=Hi">write</a>', "write (a@x.com)"),
    "anchor": ('<a href="#top">up</a> <a name=x>y</a>', "up y"),
    "script link": ("<a href=\"javascript:alert('x')\">up</a>", "up"),
    "link on an image": ('<a href="https://x.com/y"><img src="b.png" alt="Logo"></a>', "Logo (https://x.com/y)"),
    "link without words": ('<a href="https://x.com/y"><img src="b.png"></a>', "https://x.com/y"),
    "link around a block": ('<a href="https://x.com/y"><div>Buy</div></a>z', "Buy (https://x.com/y)\nz"),
    "unclosed link": (
        '<a href="https://x.com/y">one <a href="https://x.com/z">two',
        "one (https://x.com/y) two (https://x.com/z)",
    ),
    "attribute that looks like one": ("<a title=' href=\"no\"' href=https://x.com/y>a</a>", "a (https://x.com/y)"),
    "table": ("<table><tr><th>A<th>B<tr><td>1</td> <td>2</td></tr></table>z", "A  B\n1  2\n\nz"),
    "image": ('<img alt="A &quot;red&quot; chair"><img alt=""><img>', 'A "red" chair'),
    "rule": ("a<hr>b", "a\n\n---\n\nb"),
    "preformatted": ("<pre>a\n  b\n\nc</pre>d", "a\n  b\n\nc\n\nd"),
    "unseen": ("<head><title>T</title><style>p{}</style></head><script>if(a<b){'<p>'}</script>x", "x"),
    "comment": ("a<!-- <p>no</p> -- > -->b<!--[if mso]>no<![endif]-->c<![if !mso]>d<![endif]>", "abcd"),
    "doctype": ("<!DOCTYPE html>\n<?xml x?>a", "a"),
    "angle brackets": ("1 < 2 > 0 <3 a<", "1 < 2 > 0 <3 a<"),
    "greater in attribute": ('<p title="a>b">c</p>', "c"),
    "stray quote": ('<td width=100">a</td>b', "ab"),
    "preheader": ("<div>Hi&nbsp;&zwnj;&nbsp;&#847; &#8203;\u200c</div>you", "Hi\nyou"),
    "Persian": ("<p>می\u200cخواهم</p>", "می\u200cخواهم"),
    "office tags": ("<o:p>a</o:p><p class=MsoNormal>b<o:p></o:p></p>", "a\n\nb"),
    "unclosed comment": ("a<!-- b", "a"),
    "unclosed script": ("a<script>b", "a"),
    "unclosed tag": ("a<p class='", "a"),
    "nothing": ("<p> </p><br>\n<div>&nbsp;</div>", ""),
    "empty": ("", ""),
}


@pytest.mark.parametrize("name", CASES)
def test_html_becomes_readable_text(name: str) -> None:
    source, text = CASES[name]
    assert text_from_html(source) == text


PIECES = [
    "<p>",
    "</p>",
    "<br>",
    "<ul>",
    "<ol>",
    "<li>",
    "</ul>",
    "<a href=http://x>",
    "</a>",
    "<pre>",
    "</pre>",
    "<td>",
    "<!--",
]
PIECES += [
    "<",
    ">",
    '"',
    "'",
    "=",
    "&amp;",
    " ",
    "\n",
    "a",
    "ü",
    "<script>",
    "</script>",
    "<hr>",
    "</li>",
    "-->",
    "<img alt=i>",
]


@given(st.one_of(st.text(), st.lists(st.sampled_from(PIECES)).map("".join)))
def test_any_input(source: str) -> None:
    """For any input, the text has no outer blanks, and no two blank lines in a row outside preformatted text."""
    text = text_from_html(source)
    assert text == text.strip("\n")
    if "<pre" not in source:
        assert "\n\n\n" not in text


HOSTILE = [
    "<a ",
    "<!--",
    '<a "',
    "<a href=",
    "<",
    "</",
    "<!",
    "<script>",
    "<a b='",
    "<li>x",
    "<ul><li>x",
    "<td>x",
    "<pre>\n",
    "&",
    "&#1",
]


@pytest.mark.parametrize("piece", HOSTILE)
def test_hostile_input(piece: str) -> None:
    """Repetitions of unfinished constructs are not expanded; quadratic time would exceed the suite's timeout."""
    source = piece * (400_000 // len(piece))
    assert len(text_from_html(source)) < 10 * len(source)


NO_CHARACTER = "\ufffd"
REFERENCES = {
    "&#" + "0" * 5_000 + "65;": "A",
    "&#" + "0" * 5_000 + "128512": "\U0001f600",
    "&#" + "0" * 5_000 + ";": NO_CHARACTER,
    "&#" + "9" * 5_000 + ";": NO_CHARACTER,
    "&#" + "1" * 5_000 + "x": NO_CHARACTER + "x",
    "&#x" + "0" * 5_000 + "41;": "A",
    "&#x" + "f" * 5_000 + ";": NO_CHARACTER,
    "&#00000000000000000001000000;": "\U000f4240",
    "&#00000000000000000001114112;": NO_CHARACTER,
    "&#1114112;": NO_CHARACTER,
    "&#xD800;": NO_CHARACTER,
    "&#55357;&#56832;": NO_CHARACTER * 2,
    "&#0;": NO_CHARACTER,
    "&#x0;": NO_CHARACTER,
    "&#x110000;": NO_CHARACTER,
    "&#;": "&#;",
    "&#x;": "&#x;",
}


@pytest.mark.parametrize("reference", REFERENCES, ids=lambda reference: f"{reference[:5]}, {len(reference)}")
def test_numeric_references(reference: str) -> None:
    """Of any number of digits; a number without a character becomes U+FFFD, as in a browser."""
    text = REFERENCES[reference]
    assert text_from_html(f"a{reference}") == f"a{text}"
    assert text_from_html(f"<img alt='a{reference}'>") == f"a{text}"
    assert text_from_html(f"<a href='http://x/{reference}'>b</a>") == f"b (http://x/{text})"


@pytest.mark.parametrize("piece", ["ab ", "<ol>", "<a b=c "])
def test_memory_is_bounded(piece: str) -> None:
    """No list of all words, open lists or attributes is made."""
    source = piece * (1_500_000 // len(piece))
    tracemalloc.start()
    text_from_html(source)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 24 << 20


@pytest.mark.parametrize("piece", ["ab ", "<p>ab</p>", "<pre>\tab</pre>"])
def test_a_long_text_is_cut(piece: str) -> None:
    """Only beyond the limit; its last line says so."""
    assert text_from_html(piece * 20_000 + "end").endswith("end")
    text = text_from_html(piece * (TEXT_LIMIT // 2 + 1))
    assert text.endswith(f"\n\n{CUT}")
    assert TEXT_LIMIT * 0.9 < len(text) <= TEXT_LIMIT + len(f"\n\n{CUT}")


def test_many_tags_are_cut() -> None:
    """Tags without text have their own limit."""
    assert text_from_html("a" + "<b></b>" * 400_000 + "b") == "ab"
    assert text_from_html("a" + "<b></b>" * 600_000 + "b") == f"a\n\n{CUT}"
