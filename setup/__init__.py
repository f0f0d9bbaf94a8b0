"""Set-up of a checkout: run by make with nothing but Python 3.11, make and git present.

Nothing here is part of the product and nothing here imports a package that set-up
itself installs, except `setup.chromium`, which make runs inside the finished environment.
"""
