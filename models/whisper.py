"""`openai-whisper`: the original Whisper, with a checkpoint that an administrator brought.

None is shipped: the checkpoint and a card of the administrator's own come by `hailong models import`.
"""

from __future__ import annotations

from typing import Final

NAME: Final = "openai-whisper"
EXTRA: Final = "whisper"
MODULES: Final = ("whisper", "torch", "tiktoken", "numba")
BEAM: Final = 5
