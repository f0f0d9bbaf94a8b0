"""Microphones behind ALSA."""

from __future__ import annotations

from pathlib import Path

from capture.address import SourceAddress, SourceKind
from capture.camera import OPEN_TIMEOUT_S
from capture.container import SAMPLE_RATE_HZ, Opening
from capture.errors import DeviceMissing, SourceAddressError
from capture.live import LivePolicy, LiveSource
from consent.purpose import Purpose


class Microphone(LiveSource):
    """One or two microphones of a sound card.

    Two channels are the citizen's and the officer's microphone, in this order.

    Args:
        address: Parsed `alsa:` address, with options `channels` and `rate`.
        policy: Limits.
        cards: The kernel's list of sound cards.
    """

    def __init__(
        self,
        address: SourceAddress,
        policy: LivePolicy | None = None,
        *,
        cards: Path = Path("/proc/asound/cards"),
    ) -> None:
        """Describe the microphone; nothing is opened."""
        if address.kind is not SourceKind.ALSA:
            raise SourceAddressError(f"{address} is not an alsa: address.")
        options = {
            "channels": address.options.get("channels", "2"),
            "sample_rate": address.options.get("rate", str(SAMPLE_RATE_HZ)),
        }

        def opening(_: frozenset[Purpose]) -> Opening:
            return Opening(address.shown, address.target, "alsa", options, OPEN_TIMEOUT_S)

        def check() -> None:
            if not _card_names(cards):
                raise DeviceMissing(
                    f"There is no sound card, so no microphone {address}. Plug the microphone in, "
                    "or name another source in the settings."
                )

        super().__init__(
            address.shown,
            "microphone",
            frozenset({Purpose.VOICE}),
            opening=opening,
            policy=policy,
            check=check,
        )


def _card_names(cards: Path) -> list[str]:
    try:
        lines = cards.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
    return [line.strip() for line in lines if "]:" in line]
