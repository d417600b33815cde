"""Second moments by layer, some of them collected only when somebody asks.

Knows which layers there are. Does not know how they are collected.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from guardedit.models.weights.statistics import SecondMoments

#: All layers named, in one pass; `statistics.load_or_collect` on a host.
Collect = Callable[[Sequence[int]], Mapping[int, SecondMoments]]


class Moments(Mapping[int, SecondMoments]):
    """Those of some layers at once; those of some others, all together, when the first is asked for.

    Threads that ask at the same time may both collect: the same numbers, so either may be kept. A lock here
    could be held by one that waits for the model while another, who has the model, waits for the lock.

    Args:
        now: collected already.
        later: layers that most never ask for, such as those of trained editors.
        collect: of the base model; must not be called inside of `ModelHost.patched`.

    >>> asked = []
    >>> moments = Moments({}, later=[4, 5], collect=lambda layers: asked.append(layers) or {})
    >>> (4 in moments, 3 in moments, list(moments), asked)
    (True, False, [4, 5], [])
    """

    def __init__(self, now: Mapping[int, SecondMoments], *, later: Sequence[int], collect: Collect) -> None:
        self._now, self._collect = dict(now), collect
        self._layers = tuple(sorted({*now, *later}))

    def __getitem__(self, layer: int) -> SecondMoments:
        if layer not in self._now and layer in self._layers:
            self._now |= self._collect([n for n in self._layers if n not in self._now])
        return self._now[layer]

    def __contains__(self, layer: object) -> bool:
        """Asking whether is not asking for."""
        return layer in self._layers

    def __iter__(self) -> Iterator[int]:
        return iter(self._layers)

    def __len__(self) -> int:
        return len(self._layers)
