"""Decorator `frozen`: a dataclass with slots, compared and hashed by its fields, which only the type checker protects.

`@dataclass(frozen=True)` also refuses assignments at run time, which costs a call for each field of each new value: a
tenth of the time of a message.
"""

from dataclasses import dataclass, field
from typing import TypeVar, dataclass_transform

T = TypeVar("T")


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def frozen(cls: type[T]) -> type[T]:
    """Return the class as a dataclass. mypy refuses assignments to its fields, as with `frozen=True`."""
    return dataclass(slots=True, unsafe_hash=True)(cls)
