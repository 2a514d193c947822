"""Every regular expression and parser of external text takes linear time.

Growth is measured, never time. A new pattern is found by itself, if it is compiled into a global of its module.
"""

import ast
import importlib
import pkgutil
import re
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from pydantic import BaseModel
from starlette.requests import cookie_parser

import app
from app.api.http import body
from app.api.http.headers import wait_seconds
from app.api.postmark.email import to_native
from app.api.problems.problem import Invalid
from app.api.submission import attachment_content, fields
from app.api.submission.fields import ValidationContext
from app.api.submission.schema import read_email
from app.console.email_list.query import ListQuery
from app.logs.format import mask_addresses
from app.mail import erasure, key_policy, safe_text
from app.mail.delivery.bounce import cause_of
from app.mail.delivery.states import DeliveryState
from app.mail.delivery.trace_row import parse_details, parse_rows
from app.mail.message import headers, inline_files, message
from app.mail.message.address import parse_address
from app.mail.message.html_to_text import text_from_html
from app.mail.message.message import Attachment
from app.mail.ndr.parse import parse as parse_report
from app.mail.office365.bounces.lookup import explain_bounce
from app.mail.outcome.attempt import Attempt, Phase, Reply
from app.mail.policy import judge
from app.mail.webhook import rules
from app.simulator.protocol import arguments, content
from app.simulator.trace import odata
from app.smtp import transcript
from app.store.read import email_filters, email_search
from tests.unit.growth import grows_too_fast, pumped

APP = Path(app.__file__).parent
PARAMETRIZED = "attachment_content.py"  # its pattern has a number in it; the parser of attachments is measured below
METHODS = ("search", "match", "fullmatch", "sub", "findall", "finditer", "split")


class Found(NamedTuple):
    """Pattern, and the methods by which its module uses it."""

    place: str
    pattern: re.Pattern[Any]
    methods: tuple[str, ...]


def modules() -> Iterator[Any]:
    """Yield all modules of the application that can be imported without an extra."""
    for info in pkgutil.walk_packages(app.__path__, "app."):
        if info.name not in ("app.__main__", "app.tracing.otel") and ".migrations." not in info.name:
            yield importlib.import_module(info.name)


def patterns() -> list[Found]:
    """Yield those in module globals, alone or in a collection, each once."""
    sources = "\n".join(path.read_text("utf-8") for path in APP.rglob("*.py"))
    found: dict[re.Pattern[Any], Found] = {}
    for module in modules():
        for name, value in vars(module).items():
            values = value.values() if isinstance(value, dict) else value if isinstance(value, tuple) else [value]
            for one in values:
                if isinstance(one, re.Pattern):
                    own = Path(module.__file__).read_text("utf-8")
                    used = _used(name, own) or _used(name, sources)
                    found.setdefault(one, Found(f"{module.__name__}.{name}", one, used))
    return [*found.values()]


def _used(name: str, source: str) -> tuple[str, ...]:
    calls = re.findall(rf"\b{re.escape(name)}(?:\[\w+\])?\.({'|'.join(METHODS)})\(", source)
    return tuple(sorted({*calls}))


FOUND = patterns()


def worked(pattern: re.Pattern[Any], method: str) -> Callable[[str], object]:
    """Run the method of the pattern to its end, over text or bytes."""

    def run(text: str) -> object:
        subject: Any = text.encode("utf-8", "surrogatepass") if isinstance(pattern.pattern, bytes) else text
        if method == "sub":
            return pattern.sub(subject[:0], subject)
        result: Any = getattr(pattern, method)(subject)
        return deque(result, maxlen=0) if method == "finditer" else result

    return run


def assert_linear(run: Callable[[str], object], *words: str, alphabet: str = "") -> None:
    """Check that no hostile text takes more than linear time."""
    assert [text(12) for text in pumped(words, alphabet) if grows_too_fast(run, text)] == []


@pytest.mark.timeout(600)
@pytest.mark.parametrize("found", FOUND, ids=[found.place for found in FOUND])
def test_a_pattern_is_linear(found: Found) -> None:
    """By each method that the code uses, over texts of its own characters."""
    source = (
        found.pattern.pattern if isinstance(found.pattern.pattern, str) else found.pattern.pattern.decode("latin-1")
    )
    marks = dict.fromkeys(char for char in source if char.isascii() and not char.isalnum() and char.isprintable())
    for method in found.methods or ("search", "fullmatch"):
        assert_linear(worked(found.pattern, method), alphabet="".join(marks)[:9] + "a1")


def test_every_pattern_is_found() -> None:
    """None is made within a function, and none is passed as text to a function of `re`."""
    assert len(FOUND) > 60
    for path in APP.rglob("*.py"):
        tree = ast.parse(path.read_text("utf-8"))
        inner = {id(node) for body in ast.walk(tree) if isinstance(body, ast.FunctionDef) for node in ast.walk(body)}
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "re":
                assert node.attr not in METHODS or path.name == PARAMETRIZED, (path, node.lineno)
                assert node.attr != "compile" or id(node) not in inner, (path, node.lineno)


@pytest.mark.parametrize(
    ("pattern", "method", "text"),
    [
        (r"[^\s@]+@x", "search", "a"),  # quadratic: each start reads to the end
        (r"\s+x", "search", " "),
        (r'"(?:[^"\\]|\\.)*"', "findall", '\\"'),
        (r"(a+)+b", "match", "a"),  # exponential
        (r"(?:a|a)*b", "match", "a"),
        (r"a.*b", "search", "a"),
    ],
)
def test_a_quadratic_pattern_is_detected(pattern: str, method: str, text: str) -> None:
    assert grows_too_fast(worked(re.compile(pattern), method), lambda size: (text * size)[:size])
    assert not grows_too_fast(worked(re.compile("a++b|[^@]++@|x"), "match"), lambda size: (text * size)[:size])


def _prefer(text: str) -> object:
    return wait_seconds({"headers": [(b"prefer", text.encode("latin-1", "replace"))]})


_EMAIL = {"from": "a@contoso.com", "to": "b@example.com", "subject": "s", "text": "t"}


def _email(member: str) -> Callable[[str], object]:
    reading = ValidationContext(1_800_000_000.0, "noreply@contoso.com", 50)

    def run(text: str) -> object:
        try:
            return read_email({**_EMAIL, member: {"X-A": text} if member == "headers" else text}, reading)
        except Exception as error:  # a refusal, which is an answer too
            return error

    return run


def _file(member: str) -> Callable[[str], object]:
    """Validation of an attachment, to which an html refers."""
    run = _email("attachments")
    return lambda text: run([{"filename": "a.txt", "content": "aGk=", member: text}])  # type: ignore[arg-type]


def _header_name(text: str) -> object:
    reading = ValidationContext(1_800_000_000.0, "noreply@contoso.com", 50)
    return read_email({**_EMAIL, "headers": {text: "a"}}, reading)


def _inline(text: str) -> object:
    """References of an html to two files."""
    files = tuple(Attachment("a", "image/png", b"", id) for id in ("a", text))
    return inline_files.link(f'<img src="cid:{text}"><img src=cid:{text}>', files)


def _refusable(run: Callable[[Any], object]) -> Callable[[Any], object]:
    def tried(value: Any) -> object:
        try:
            return run(value)
        except Exception as error:
            return error

    return tried


def _verdict(text: str) -> object:
    return judge(Attempt(Phase.DOT, Reply.of(550, [text])), ("a@example.com",))


def _report(before: str, after: str = "") -> Callable[[str], object]:
    return lambda text: parse_report(f"{before}{text}{after}".encode("utf-8", "surrogatepass"))


def _trace(text: str) -> object:
    """A row of the message trace and its details, each of whose members is the text."""
    at = "2026-11-24T09:00:00Z"
    row = dict.fromkeys(("messageId", "recipientAddress", "status"), text)
    network_id = "5ba7e6d2-70f3-4c43-9d86-3c1b8a3f1e10"
    rows = [{**row, "id": network_id, "receivedDateTime": at}, {**row, "id": text, "receivedDateTime": text}]
    details = parse_details([{"dateTime": at, "event": event, "description": text} for event in ("Fail", text)])
    return parse_rows(rows), details, cause_of(details, DeliveryState.BOUNCED)


_REPORT = "Content-Type: multipart/report; boundary=a\n\n--a\n"
_BLOCK = f"{_REPORT}Content-Type: message/delivery-status\n\nReporting-MTA: dns;a\n\nFinal-Recipient: rfc822;a@b.c\n"

PARSERS: dict[str, Callable[[str], object]] = {
    "address": parse_address,
    "header": lambda text: headers.unstructured("X-A", text),
    "header as written": lambda text: headers.custom_field("References", text),
    "list header": lambda text: headers.custom_field("List-Unsubscribe", text),
    "folding": headers.unfold,
    "display name": lambda text: parse_address(f"{text} <a@example.com>"),
    "message id": headers.check_message_id,
    "mime parameters": message.content_type,
    "html": text_from_html,
    "prefer": _prefer,
    "time": lambda text: fields.parse_time(text, 0.0),
    "json": lambda text: body.parse(text.encode("utf-8", "surrogatepass")),
    "webhook URL": lambda text: rules.target(text, private=False),
    "masking": lambda text: mask_addresses(text, frozenset()),
    "escaping": safe_text.escape_controls,
    "escaping in JSON": safe_text.escape_in_json,
    "cookies": cookie_parser,
    "dialogue": lambda text: transcript.mask(text, ["a secret"]),
    "upstream reply": _verdict,
    "bounce": lambda text: explain_bounce("", text),
    "bounce with a code": lambda text: explain_bounce("5.1.1", text),
    "report": _report(""),
    "report's media type": _report("Content-Type: multipart/report;", "\n\n--a\n"),
    "report's parts": _report(_REPORT),
    "report's recipient": _report(_BLOCK),
    "report's action": _report(f"{_BLOCK}Action: failed\nDiagnostic-Code: "),
    "report's returned message": _report(f"{_REPORT}Content-Type: message/rfc822\n\nMessage-ID: "),
    "simulator MAIL": lambda text: arguments.mail(f"FROM:{text}", smtputf8_supported=True),
    "simulator MAIL with brackets": lambda text: arguments.mail(f"FROM:<{text}>", smtputf8_supported=True),
    "simulator RCPT": lambda text: arguments.rcpt(f"TO:<a@{text}>", smtputf8=True),
    "simulator EHLO": arguments.is_ehlo_name,
    "simulator head": lambda text: content.header_fields(text.encode("utf-8", "surrogatepass")),
    "attachment": lambda text: attachment_content.read(text, None, is_text=True),
    "key policy senders": lambda text: key_policy.senders([text]),
    "key policy recipients": lambda text: key_policy.recipients([text]),
    "email header name": _header_name,
    "references to inline files": _inline,
    "postmark addresses": lambda text: to_native({"To": text, "Cc": text}),
    **{f"attachment {name}": _file(name) for name in ("filename", "content_type", "content_id", "encoding")},
    **{f"email {name}": _email(name) for name in ("from", "to", "subject", "html", "headers", "scheduled_at", "tags")},
    "search": lambda text: email_search.parse(text, {}, 0.0),
    "search for an event": email_search.split_event,
    "search of the console": lambda text: ListQuery.from_fields({"q": text, "since": text}).selection({}, 0.0),
    **{f"filter {name}": rule for name, (_, rule) in email_search.rules(0.0).items()},
    "filter id": email_filters.id_range,
    "trace": _trace,
    "erased reply": erasure.erase_reply,
    "simulator filter": lambda text: odata.parse_filter(text, 0.0),
}


@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", PARSERS)
def test_a_parser_is_linear(name: str) -> None:
    """Over hostile texts, most of which it refuses."""
    assert_linear(_refusable(PARSERS[name]))


def models(base: type[BaseModel] = BaseModel) -> Iterator[type[BaseModel]]:
    """Yield every model of a body or of query parameters."""
    for model in base.__subclasses__():
        if model.__module__.startswith("app.api."):
            yield model
        yield from models(model)


MEMBERS = [(model, field.alias or name) for model in models() for name, field in model.model_fields.items()]


@pytest.mark.timeout(600)
@pytest.mark.parametrize(("model", "member"), MEMBERS, ids=lambda value: getattr(value, "__name__", value))
def test_a_member_of_an_input_is_linear(model: type[BaseModel], member: str) -> None:
    """As a text, and as an entry or a name and value of its list or object."""
    context = ValidationContext(1_800_000_000.0, "noreply@contoso.com", 50)

    def read(value: Any) -> object:
        return model.model_validate({member: value}, context=context)

    def run(text: str) -> None:
        for value in (text, [text], [{text: text}], {text: text}):
            _refusable(read)(value)

    assert_linear(run)


class Name(str):
    """Name that must not be read, only measured."""

    __slots__ = ()

    def lower(self) -> str:
        raise AssertionError("read before its length was checked")

    def strip(self, chars: str | None = None) -> str:
        raise AssertionError("read before its length was checked")


@pytest.mark.parametrize("value", ["a", 5, True, [], {}])
def test_a_long_header_name_is_only_measured(value: object) -> None:
    """Whatever its value is, and whatever stands before it."""
    reading = ValidationContext(1_800_000_000.0, "noreply@contoso.com", 50)
    with pytest.raises(Invalid, match="1 to 76 printable"):
        read_email({**_EMAIL, "headers": {"X-A": [], Name("x" * 77): value}}, reading)


@pytest.mark.parametrize("member", ["lane", "on_unknown"])
def test_a_long_word_is_only_measured(member: str) -> None:
    """It is none of the words in any case."""
    reading = ValidationContext(1_800_000_000.0, "noreply@contoso.com", 50)
    with pytest.raises(Invalid, match="one of"):
        read_email({**_EMAIL, member: Name("x" * 129)}, reading)
