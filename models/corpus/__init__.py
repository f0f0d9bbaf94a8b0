"""Our own counter utterances: sentence frames, their expansion and their split."""
