"""What the hand lexicon alone says: the yardstick that the fitted text model must beat."""

from __future__ import annotations

from models import text_lexicon as lexicon
from models.text_features import weighed_phrases, words_of


def lexicon_sentiment(text: str) -> str:
    """Count praise and blame of the lexicon, negation included; what follows a "but" counts alone."""
    words = words_of(text)
    found = weighed_phrases(words)
    turn = next((at for at, word in enumerate(words) if word in lexicon.CONTRASTS), -1)
    counted = [item for item in found if item.start > turn] or list(found)
    balance = sum(1 if item.kind in "+p" else -1 for item in counted)
    return "positive" if balance > 0 else "negative" if balance < 0 else "neutral"


def lexicon_factors(text: str) -> frozenset[str]:
    """Return every factor whose topic words occur, where the lexicon sees a verdict at all."""
    if lexicon_sentiment(text) == "neutral":
        return frozenset()
    words = words_of(text)
    return frozenset(
        topic
        for at in range(len(words))
        for end in range(at + 1, min(at + lexicon.LONGEST, len(words)) + 1)
        for topic in lexicon.TOPICS_OF.get(tuple(words[at:end]), ())
    )
