"""Owns how a walk over many archives knows its way: one table per section, filled in as keys are first met.

The required tree is compiled into it: JSON key -> what the walk does with values under it (a slot), and JSON key, or number
of a repeating section -> the level below. A later archive of the same shape costs a look-up a value, and no name is
spelled twice.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar

from nomad_dask.pure import paths
from nomad_dask.pure.required import Node

Slot = TypeVar("Slot")


class Level(Generic[Slot]):
    """One section as the walk sees it. `compile` makes the slot of a name, of which nothing is required if None."""

    __slots__ = ("compile", "prefix", "required", "sections", "slots")

    def __init__(self, prefix: str, required: Node, compile: Callable[[str, Node | None], Slot]) -> None:
        self.prefix = prefix
        self.required = required
        self.compile = compile
        self.slots = Slots(self)
        self.sections = Sections(self)

    def name(self, key: str) -> str:
        """The name of what stands under a key of this section."""
        return self.prefix + paths.escape(key)


class Slots(dict[str, Slot]):
    """The slots of the keys of a level."""

    __slots__ = ("level",)

    def __init__(self, level: Level[Slot]) -> None:
        super().__init__()
        self.level = level

    def __missing__(self, key: str) -> Slot:
        level = self.level
        slot = self[key] = level.compile(level.name(key), level.required.child(key))
        return slot


class Sections(dict[Any, Any]):
    """The levels below one, by key, of a repeating section by number; None where nothing below was asked for."""

    __slots__ = ("level",)

    def __init__(self, level: Level[Any]) -> None:
        super().__init__()
        self.level = level

    def __missing__(self, key: str | int) -> Level[Any] | None:
        level = self.level
        required = level.required.child(key) if isinstance(key, str) else level.required
        below = None
        if required is not None:
            below = Level(f"{level.name(str(key))}.", required, level.compile)
        self[key] = below
        return below
