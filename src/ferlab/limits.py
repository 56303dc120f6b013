"""How much a model may cost, whoever wrote it: counted from its graph before any of it is computed. Needs no torch."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from ferlab.errors import ExportError

RESULT = 2**30  # bytes of one operator's result, or of what it lays out to compute it, for a face
TOGETHER = 16 * 2**30  # bytes of all results, for a face; a fraction of it is needed at once
PRODUCTS = 10**12  # multiplications for a face: about a minute on one core
STEPS = 20_000  # operators; each takes some microseconds even where it does nothing


@dataclass
class Budget:
    """What a graph has spent so far. SE-ResNet at 1,024 pixels, the most that ferlab's own come to, just has enough.

    Attributes:
        faces: of the batch that it would be run on.
        spent, products, steps: bytes, multiplications and operators.
    """

    faces: int = 1
    spent: int = 0
    products: int = 0
    steps: int = 0

    def spend(
        self, operator: str, shape: Sequence[int], itemsize: int = 4, products: int = 0, workspace: int = 0
    ) -> None:
        """Count an operator.

        Args:
            operator: its name.
            shape, itemsize: of its result.
            products: multiplications beyond one for each number of the result.
            workspace: numbers of `itemsize` that it may lay out beside, however large the batch is.

        Raises:
            ExportError: the graph needs more than a model of faces may.
        """
        numbers = math.prod(shape)
        self.spent += numbers * itemsize
        self.products += numbers + products
        self.steps += 1
        for got, most, unit in (
            (numbers * itemsize, RESULT * self.faces, "bytes in one result"),
            (workspace * itemsize, RESULT, "bytes to compute one result"),
            (self.spent, TOGETHER * self.faces, "bytes in all"),
            (self.products, PRODUCTS * self.faces, "multiplications, some minute a face"),
            (self.steps, STEPS, "operators"),
        ):
            if got > most:
                raise ExportError(
                    f"a batch of {self.faces} must need at most {most:,} {unit}, got {got:,} with {operator[:50]!r}; "
                    "use another model"
                )
