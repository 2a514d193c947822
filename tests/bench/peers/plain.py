"""A FastAPI route with nothing behind it: reads the raw body, validates it, and answers with an id."""

import os
from uuid import uuid4

import uvicorn
from fastapi import FastAPI, Request

from tests.bench.peers.model import Email

app = FastAPI()


@app.post("/emails")
async def send(request: Request) -> dict[str, str]:
    """Validate and answer. Nothing is stored and nothing is sent."""
    Email.model_validate_json(await request.body())
    return {"id": str(uuid4())}


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(os.environ["PORT"]), access_log=False, loop="uvloop", http="httptools")
