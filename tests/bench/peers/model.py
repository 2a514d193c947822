"""The body of POST /emails as the Python peers declare it."""

from pydantic import BaseModel, Field


class Email(BaseModel):
    """The members that every peer understands."""

    sender: str = Field(alias="from")
    to: str
    subject: str
    html: str
    text: str
