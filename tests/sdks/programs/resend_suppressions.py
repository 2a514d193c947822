"""Program of an application that uses the suppression list by the Resend SDK for Python. Prints the results."""

import json
import sys
from importlib import import_module
from typing import Any

resend: Any = import_module("resend")
resend.api_key = sys.argv[1]
suppressions = resend.Suppressions
errors: list[str] = []  # the SDK raises them
added = suppressions.add({"email": "Anna@Example.com"})
several = suppressions.Batch.add({"emails": ["bob@example.net", "carl@example.net"]})
listed = suppressions.list({"origin": "manual"})
read = suppressions.get("anna@example.com")
removed = suppressions.remove(added["id"])
gone = suppressions.Batch.remove({"emails": ["bob@example.net", "carl@example.net"]})
try:
    missing = suppressions.get("anna@example.com")
except resend.exceptions.ResendError as error:
    missing = {"name": error.error_type}
print(
    json.dumps(
        {
            "errors": errors,
            "added": added["id"],
            "several": [one["id"] for one in several["data"]],
            "listed": listed["data"],
            "read": read,
            "removed": removed,
            "gone": gone["data"],
            "missing": missing,
        }
    )
)
