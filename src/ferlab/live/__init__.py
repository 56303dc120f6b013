"""Faces in pictures, videos and cameras: detect, track, crop, answer, smooth. Imports no training code.

The package is a function too: `for seen in ferlab.live("outputs/…", source=0)`, see `ferlab.live.run.live`.
"""

import sys
from importlib import import_module
from types import ModuleType
from typing import Any


class _Callable(ModuleType):
    # The name is taken by the package, which Python puts in the place of a function of that name once it is imported.
    def __call__(self, *arguments: Any, **settings: Any) -> Any:
        return import_module("ferlab.live.run").live(*arguments, **settings)


sys.modules[__name__].__class__ = _Callable
