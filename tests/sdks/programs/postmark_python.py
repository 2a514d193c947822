"""Program of an application with Postmarker. Reads the email from standard input, prints the results."""

import json
import sys
from collections.abc import Callable
from typing import Any

from postmarker.core import PostmarkClient
from postmarker.exceptions import ClientError

_, token, url = sys.argv
email: dict[str, Any] = json.load(sys.stdin)
client = PostmarkClient(server_token=token, root_api_url=url)
stranger = PostmarkClient(server_token="a-key-that-nobody-has", root_api_url=url)


def refused(call: Callable[[], Any]) -> list[str]:
    """Return Postmark's code and message."""
    try:
        call()
    except ClientError as error:
        return [error.error_code, str(error)]
    return ["nothing was raised"]


print(
    json.dumps(
        {
            "sent": client.emails.send(**email),
            "batch": client.emails.send_batch(email, {**email, "To": "nope"}),
            "invalid": refused(lambda: client.emails.send(**{**email, "To": "nope"})),
            "stranger": refused(lambda: stranger.emails.send(**email)),
        }
    )
)
