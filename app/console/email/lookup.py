"""Lookup of the email in the path of a request."""

from uuid import UUID

from app.console.request import ConsoleRequest, PageError
from app.store.records import Email

NO_EMAIL = PageError(404, "Not found", "There is no such email. Finished emails are removed after some days.")


def email_id(request: ConsoleRequest) -> UUID:
    """Return the id in the path."""
    id: UUID = request.http.path_params["id"]
    return id


async def find_email(request: ConsoleRequest) -> Email:
    """Return the email. Raises PageError."""
    email = await request.context.store.get(email_id(request))
    if email is None:
        raise NO_EMAIL
    return email
