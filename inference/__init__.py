"""From permitted media to evidence to one signal.

Importing this package loads nothing heavy: the central program imports
`inference.signal` on machines without OpenCV or audio libraries.
"""
