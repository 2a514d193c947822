"""Measurement of a function's time by length of its text, robust on a busy machine."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import product
from time import thread_time

SIZES = (1000, 2000, 4000, 8000, 16_000)  # characters
MOST = 2.5  # times the time, for twice the length
FLOOR = 0.0015  # CPU seconds at the largest size: below that it is no danger, and too short to be compared
_FIRST = (*range(8, 104, 8), SIZES[0], SIZES[-1])  # characters; exponential time would not end at SIZES
_HOPELESS = 0.3  # CPU seconds for one text of SIZES, far beyond any linear time: it is not measured again
_TRIES = 6  # noise can only add time, so one good measurement proves that the growth is small

WORDS = (
    *('\\"', '"\\', '"a"', '\\\\"', '""', "''", "a.", ".a", "a@", "@a", "a@b.", "<a", "a>", "<>", "<<", "a <b@c.de>"),
    *("=?", "?=", "=?utf-8?q?", "=?utf-8?b?YQ==?= ", "a=", "=a", "a=b;", "; a=b", ';a="', "a; ", "a, ", ", ", ",a"),
    *("<a>", "<b ", "</a>", "<a b=", "<a b='", "<!--", "-->", "--", "<!", "<?", "&#", "&amp", "&a;", "<li>", "<ul>"),
    *("<pre>", "<a href=x>", "<script>", "<title>", "<br>", "<td>", "%41", "%", "{}", "[]", "[[", '{"a":', '"a",'),
    *(
        "in 1 ",
        " a",
        "a ",
        "  a",
        "\r\n ",
        "\n",
        "\t",
        "a\t",
        "(a",
        "a)",
        "()",
        "a-",
        "-a",
        "1.",
        ".1",
        "::",
        "1:",
        "//",
    ),
    *("+a", "a+b", "error: 4", "error: ", "no ", "no a managed", "identity ", "-----BEGIN PRIVATE KEY-----", "smtp;"),
    *(
        "from:",
        "from:\n",
        "\n ",
        "message-id:a\n ",
        "AADSTS1",
        "postgres://",
        "ab:c,",
        "**a",
        "`a",
        "é",
        "ä@",
        "\u200b",
    ),
    "\u0315\u0316",  # combining marks out of their canonical order
)
CHARACTERS = " !\"#$%&'()*+,-./09:;<=>?@AZ[\\]^_`az{|}~\t\n\r\0\x7fé\u2028"


def pumped(words: tuple[str, ...] = (), alphabet: str = "") -> Iterator[Callable[[int], str]]:
    """Yield hostile texts of any size: characters, words and pairs of the alphabet repeated, with odd ends."""
    pairs = ("".join(pair) for pair in product(alphabet, repeat=2) if pair[0] != pair[1])
    for word in dict.fromkeys((*CHARACTERS, *WORDS, *words, *pairs)):
        for start, end in (("", ""), ("", "\0"), ("a", "!")):
            yield (
                lambda size, word=word, start=start, end=end: (  # type: ignore[misc]
                    start + (word * (size // len(word) + 1))[:size] + end
                )
            )


def grows_too_fast(run: Callable[[str], object], text: Callable[[int], str]) -> bool:
    """Return whether twice the length costs more than MOST times the time. `run` may raise ValueError."""
    for size in _FIRST:
        seconds = _seconds(run, text(size))
        if seconds > _HOPELESS:
            return True
        if seconds > FLOOR and (size >= SIZES[0] or _is_slow(run, text(size))):
            return size < SIZES[0] or not any(_is_small(run, text) for _ in range(_TRIES))
    return False


def _is_slow(run: Callable[[str], object], text: str) -> bool:
    return all(_seconds(run, text) > FLOOR for _ in range(_TRIES))


def _is_small(run: Callable[[str], object], text: Callable[[int], str]) -> bool:
    before = FLOOR
    for size in SIZES:
        seconds = min(_seconds(run, text(size)) for _ in range(2))
        if seconds > MOST * max(before, FLOOR / MOST):
            return False
        before = seconds
    return True


def _seconds(run: Callable[[str], object], text: str) -> float:
    start = thread_time()
    with suppress(ValueError):
        run(text)
    return thread_time() - start
