"""Microphones behind ALSA."""

from __future__ import annotations

import re
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
            _check_card(address, cards)

        super().__init__(
            address.shown,
            "microphone",
            frozenset({Purpose.VOICE}),
            opening=opening,
            policy=policy,
            check=check,
        )


def _check_card(address: SourceAddress, cards: Path) -> None:
    try:
        lines = cards.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    there = [line.strip() for line in lines if "]:" in line]
    if not there:
        raise DeviceMissing(
            f"There is no sound card, so no microphone {address}. Plug the microphone in, "
            "or name another source in the settings."
        )
    numbered = re.match(r"(?:plug)?hw:(\d+)", address.target)
    if numbered and not any(line.split(maxsplit=1)[0] == numbered[1] for line in there):
        raise DeviceMissing(
            f"There is no sound card {numbered[1]} for {address}. Cards here: {'; '.join(there)}. "
            "Plug the microphone in, or name another card in the settings."
        )
