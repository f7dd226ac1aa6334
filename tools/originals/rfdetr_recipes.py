"""The recipes that the recorder writes, in the order of rfdetr's versions."""

from __future__ import annotations

from recipes_before_1_6 import BEFORE_1_6
from recipes_since_1_6 import SINCE_1_6
from wanted import Wanted

RECIPES: tuple[Wanted, ...] = (*BEFORE_1_6, *SINCE_1_6)
