"""Archives as tables, in one of three layouts: wide, nested or tables."""

from typing import Literal, TypeAlias, get_args

LayoutName: TypeAlias = Literal["wide", "nested", "tables"]
LAYOUT_NAMES: tuple[LayoutName, ...] = get_args(LayoutName)
