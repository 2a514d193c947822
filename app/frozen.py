"""`@frozen`: a value, as a dataclass with slots that is compared and hashed by what it holds, and that nobody changes.

`@dataclass(frozen=True)` watches at run time as well, and for that each field of each new value costs a call: on a
message's way this adds up to a tenth of the whole. Here the type checker alone watches.
"""

from dataclasses import dataclass, field
from typing import TypeVar, dataclass_transform

T = TypeVar("T")


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def frozen(cls: type[T]) -> type[T]:
    """The class as a value. mypy refuses to assign to its fields, as it does with `frozen=True`."""
    return dataclass(slots=True, unsafe_hash=True)(cls)
