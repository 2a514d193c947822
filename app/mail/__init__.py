"""The words and rules of mail. Pure: no clock, no randomness of its own, no logging, no asyncio, no I/O."""
