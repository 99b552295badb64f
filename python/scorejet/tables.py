"""A causal order of the columns of a table."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeout
from dataclasses import dataclass
from threading import Event

from . import _convert, _core


@dataclass(frozen=True)
class CausalOrder:
    """Columns from causes to effects; `gaps`: how much the leaf of each stage stood out (1: not)."""

    order: list[int]
    names: list[str]
    gaps: list[float]

    def __repr__(self) -> str:
        return "CausalOrder(" + " -> ".join(self.names) + ")"


def causal_order(
    x: _convert.Array,
    *,
    names: Sequence[str] | None = None,
    sigma: float = 0.4,
    networks: int = 2,
    steps: int = 1000,
    later_steps: int = 150,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> CausalOrder:
    """Orders the columns of x [N, D] by the curvature of its log density (Rolland et al. 2022).

    sigma is in standard deviations of a column. Raises ValueError for shapes, fewer than 50 rows, a
    constant column, NaN. Ctrl-C ends it within a step.
    """
    table = _convert.tensor("x", x)
    columns = list(names) if names is not None else [str(i) for i in range(table.shape[-1])]
    stop = Event()

    def on_step(done: int, total: int) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        if progress is not None:
            progress(done, total)

    with ThreadPoolExecutor(1) as pool:
        work = pool.submit(
            _core.causal_order, table, columns, sigma, networks, steps, later_steps, seed, on_step
        )
        while True:
            try:
                order, stages = work.result(timeout=0.2)
                break
            except FutureTimeout:
                continue
            except KeyboardInterrupt:
                stop.set()
                raise
    return CausalOrder(order, [columns[i] for i in order], [stage[3] for stage in stages])
