"""The channels on which people say themselves how satisfied they are."""

from __future__ import annotations

from enum import StrEnum
from typing import Final


class Channel(StrEnum):
    """Where a ballot comes from. Image and voice are no channel of ballots: they give signals."""

    KIOSK = "kiosk"
    """Two levels on four criteria at the counter, signed by the edge."""
    ONLINE = "online"
    """The survey of the system in which the procedure was handled."""
    SMS = "sms"
    CALL = "call"
    """Automatic calls of the switchboard 1022 and hotlines."""
    PORTAL = "portal"
    """Feedback on the national portal."""
    PAPER = "paper"
    """Handed out by independent surveyors."""


IMPORTED: Final = (Channel.ONLINE, Channel.SMS, Channel.CALL, Channel.PORTAL, Channel.PAPER)
"""What arrives in files; ballots of the kiosk come from edges alone, signed."""
CHANNEL_NAMES: Final[dict[Channel, tuple[str, str]]] = {
    Channel.KIOSK: ("Màn hình tại quầy", "Screen at the counter"),
    Channel.ONLINE: ("Khảo sát trực tuyến", "Online survey"),
    Channel.SMS: ("Tin nhắn", "Text message"),
    Channel.CALL: ("Tổng đài 1022", "Switchboard 1022"),
    Channel.PORTAL: ("Cổng Dịch vụ công quốc gia", "National portal"),
    Channel.PAPER: ("Phiếu giấy", "Paper ballot"),
}
"""Vietnamese and English."""
