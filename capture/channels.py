"""Which channel is whose: the citizen's microphone always comes first behind this."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from inference.media import AudioChunk

if TYPE_CHECKING:
    from capture.source import MediaDevice, MediaSource, MediaUnit, SourceHealth
    from consent.purpose import Purpose


class SwappedChannels:
    """A source whose two channels change places, for a citizen's microphone on the right.

    Args:
        source: The source as it is wired.
    """

    def __init__(self, source: MediaSource) -> None:
        """Wrap a source; nothing is opened."""
        self._source = source

    @property
    def address(self) -> str:
        """Public address of the source."""
        return self._source.address

    @property
    def offers(self) -> frozenset[Purpose]:
        """The purposes the source can serve."""
        return self._source.offers

    def describe(self) -> str:
        """Say what the source is."""
        return f"{self._source.describe()}, channels swapped"

    def health(self) -> SourceHealth:
        """Tell how the source does."""
        return self._source.health()

    def open(self, purposes: frozenset[Purpose]) -> MediaDevice:
        """Open the source for the same purposes."""
        return _SwappingDevice(self._source.open(purposes))


class _SwappingDevice:
    def __init__(self, device: MediaDevice) -> None:
        self._device = device
        self.interrupt = device.interrupt
        self.close = device.close

    def read(self) -> MediaUnit | None:
        unit = self._device.read()
        if isinstance(unit, AudioChunk) and unit.samples.shape[0] > 1:
            swapped = unit.samples[::-1]
            swapped.flags.writeable = False
            return replace(unit, samples=swapped)
        return unit
