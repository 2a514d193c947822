"""Messages whose content is read, by their header fields."""

import pytest

from app.mail.ndr.parse import is_candidate


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ([("X-MS-Exchange-Message-Is-Ndr", "")], True),
        ([("From", "a@b"), ("CONTENT-TYPE", " Multipart/Report; report-type=delivery-status")], True),
        ([("Content-Type", "multipart/mixed"), ("Subject", "multipart/report")], False),
        ([("Auto-Submitted", "auto-replied"), ("Content-Type", "text/plain")], False),
        ([], False),
    ],
)
def test_candidates(fields: list[tuple[str, str]], expected: bool) -> None:
    assert is_candidate(fields) is expected
