"""Scanner for the PowerShell of our scripts and guide: commands, their parameters and the blocks around them.

It knows comments, strings with `$(…)`, and brackets. It relies on the style of our scripts:
operators in lower case (-eq), parameters with a capital (-Identity), no splatting, no aliases.
"""

import re
from dataclasses import dataclass, field

_TOKEN = re.compile(
    r"""
    (?P<comment> <\#.*?\#> | \#[^\n]* )
  | (?P<single> '(?:[^']|'')*' )
  | (?P<double> " )
  | (?P<open> [({\[] ) | (?P<close> [)}\]] )
  | (?P<continued> `\r?\n )
  | (?P<end> [\n;|] )
  | (?P<command> (?<![\w.$:/-]) (?:\./)?[A-Z][A-Za-z]+-[A-Z][A-Za-z0-9]+(?:\.ps1)? )
  | (?P<parameter> (?<=\s)-[A-Z][A-Za-z0-9]+ )
  | (?P<other> [\w$.:/-]+ | . )
    """,
    re.VERBOSE | re.DOTALL,
)
_PAIRS = {")": "(", "}": "{", "]": "["}


class PowerShellError(ValueError):
    """Unclosed string or bracket, with its line."""


@dataclass(slots=True)
class Command:
    """Command in use. `blocks`: the lines that open the blocks around it, the outermost first."""

    name: str
    parameters: set[str] = field(default_factory=set)
    blocks: tuple[str, ...] = ()


@dataclass(slots=True)
class _Frame:
    bracket: str
    opened_by: str
    command: Command | None = None


def commands(source: str) -> list[Command]:
    """Return the commands of a script in order. Raises PowerShellError when strings or brackets do not close."""
    found: list[Command] = []
    stack = [_Frame("", "")]
    position = 0
    while match := _TOKEN.match(source, position):
        kind, text, frame = match.lastgroup, match.group(), stack[-1]
        if kind == "double":
            position, inner = _double(source, match.end())
            for part in inner:
                found += commands(part)
            continue
        if kind == "open":
            stack.append(_Frame(text, source[source.rfind("\n", 0, position) + 1 : position].strip()))
        elif kind == "close":
            if frame.bracket != _PAIRS[text]:
                raise PowerShellError(f"{text} closes {frame.bracket or 'nothing'}: {_line(source, position)}")
            stack.pop()
        elif kind == "end":
            frame.command = None
        elif kind == "command":
            frame.command = Command(text, blocks=tuple(each.opened_by for each in stack if each.bracket == "{"))
            found.append(frame.command)
        elif kind == "parameter" and frame.command is not None:
            frame.command.parameters.add(text)
        position = match.end()
    if len(stack) > 1:
        raise PowerShellError(f"never closed: {stack[-1].opened_by} {stack[-1].bracket}")
    return found


def _line(source: str, position: int) -> str:
    return source[source.rfind("\n", 0, position) + 1 :].partition("\n")[0]


def _double(source: str, position: int) -> tuple[int, list[str]]:
    """Return the end of the double-quoted string that began before `position`, and the code in its `$(…)`."""
    begin, inner = position, list[str]()
    while position < len(source):
        if source[position] == "`":
            position += 2
        elif source[position] == '"':
            return position + 1, inner
        elif source.startswith("$(", position):
            end = _closing(source, position + 2)
            inner.append(source[position + 2 : end])
            position = end + 1
        else:
            position += 1
    raise PowerShellError(f"a string is never closed: {_line(source, begin)}")


def _closing(source: str, position: int) -> int:
    """Return the position at which the bracket closes that opened before `position`."""
    begin, depth = position, 1
    while match := _TOKEN.match(source, position):
        if match.lastgroup == "double":
            position, _ = _double(source, match.end())
            continue
        depth += {"(": 1, ")": -1}.get(match.group(), 0)
        if depth == 0:
            return position
        position = match.end()
    raise PowerShellError(f"$( is never closed: {_line(source, begin)}")


def declared(source: str) -> set[str]:
    """Return the parameters in the param block of a script."""
    block = source[source.index("\nparam(") :].partition("\n)")[0]
    return {f"-{name}" for name in re.findall(r"\] \$(\w+)", block)}
