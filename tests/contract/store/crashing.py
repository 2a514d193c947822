"""Program that accepts without end and prints each id after its commit."""

import asyncio
import sys

from app.store import Store
from tests.contract.store.build import accept


async def main(url: str) -> None:
    """Run sixteen callers until killed."""
    store = await Store.open(url)

    async def caller() -> None:
        while True:
            (id,) = await accept(store)
            print(id, flush=True)

    await asyncio.gather(*(caller() for _ in range(16)))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
