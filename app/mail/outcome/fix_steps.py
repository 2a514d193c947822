"""Steps of a fix: conversion to a text, in which several steps are numbered (`1. … 2. …`), and back. Pure."""

import re

_NUMBER = re.compile(r"(?:^|(?<=\s))(\d+)\. (?=\S)")


def numbered(*steps: str) -> str:
    """Return a fix with these steps in order. A single step has no number."""
    if len(steps) == 1:
        return steps[0]
    return " ".join(f"{number}. {step}" for number, step in enumerate(steps, 1))


def steps_of(fix: str) -> tuple[str, ...]:
    """Return the steps of a fix without numbers: one if it does not begin with `1. `, none if it is ""."""
    starts: list[re.Match[str]] = []
    for match in _NUMBER.finditer(fix):
        if int(match[1]) == len(starts) + 1 and (starts or match.start() == 0):
            starts.append(match)
    if len(starts) < 2:
        return (fix,) if fix else ()
    ends = [*(match.start() for match in starts[1:]), len(fix)]
    return tuple(fix[match.end() : end].strip() for match, end in zip(starts, ends, strict=True))
