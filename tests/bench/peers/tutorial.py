"""The usual tutorial: FastAPI answers, and a background task opens a connection for each mail. Nothing is stored."""

import os
import ssl
from email.message import EmailMessage
from uuid import uuid4

import aiosmtplib
import uvicorn
from fastapi import BackgroundTasks, FastAPI

from tests.bench.peers.model import Email

app = FastAPI()
tls = ssl.create_default_context(cafile=os.environ["SMTP_CA_FILE"])


@app.post("/emails")
async def send(email: Email, tasks: BackgroundTasks) -> dict[str, str]:
    """Answer at once; the mail goes afterwards."""
    tasks.add_task(relay, email)
    return {"id": str(uuid4())}


async def relay(email: Email) -> None:
    """Connect, log in, send, quit."""
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = email.sender, email.to, email.subject
    message.set_content(email.text)
    message.add_alternative(email.html, subtype="html")
    await aiosmtplib.send(
        message,
        hostname=os.environ["SMTP_HOST"],
        port=int(os.environ["SMTP_PORT"]),
        start_tls=True,
        tls_context=tls,
        username=os.environ["SMTP_USER"],
        password=os.environ["SMTP_PASSWORD"],
    )


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(os.environ["PORT"]), access_log=False, loop="uvloop", http="httptools")
