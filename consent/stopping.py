"""Why the controller ended a consent, or put no question: the method codes of those steps."""

from enum import StrEnum


class StopMethod(StrEnum):
    """What stopped a capture, or kept it from being asked for, besides the citizen and the clock."""

    SECOND_FACE = "second-face"
    """Somebody else came to the seat: they were not asked, and camera and microphone would take them in."""
    ACCOMPANIED_CHILD = "accompanied-child"
    """The officer declared that a child is there: children are not captured, so nobody is asked."""
