"""Second moments by layer, of which some are collected only when they are first read."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from guardedit.models.weights.second_moments import SecondMoments

#: Layers -> their second moments, collected in one pass; `second_moments.load_or_collect` on a host.
Collect = Callable[[Sequence[int]], Mapping[int, SecondMoments]]


class LazyMoments(Mapping[int, SecondMoments]):
    """Second moments of layers: some known now, the others all collected when one of them is first read.

    There is no lock, because it could deadlock with the lock of the model. Two threads may both collect, with
    the same result.

    Args:
        now: second moments that are collected already.
        later: layers that are rarely needed, such as those of trained editors.
        collect: collects from the base model; must not be called inside of `ModelHost.patched`.

    >>> asked = []
    >>> moments = LazyMoments({}, later=[4, 5], collect=lambda layers: asked.append(layers) or {})
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
        """Whether the layer is known; does not collect."""
        return layer in self._layers

    def __iter__(self) -> Iterator[int]:
        return iter(self._layers)

    def __len__(self) -> int:
        return len(self._layers)
