"""A griffe extension: a function with ``@takes(Arguments)`` has the arguments of that class."""

from __future__ import annotations

import re
from typing import Any

import griffe


class Takes(griffe.Extension):
    """Show the signature that `pgf_genome.signature.takes` gives a function."""

    def on_package(self, *, pkg: griffe.Module, **_: Any) -> None:
        """Look through a package that has been read."""
        self._visit(pkg)

    def _visit(self, module: griffe.Module) -> None:
        for function in module.functions.values():
            for decorator in () if function.is_alias else function.decorators:
                if kind := re.fullmatch(r"takes\((\w+)\)", str(decorator.value)):
                    shown = module.modules_collection[module.resolve(kind[1])].parameters
                    function.parameters = griffe.Parameters(*list(shown)[1:])  # without self
        for each in module.modules.values():
            self._visit(each)
