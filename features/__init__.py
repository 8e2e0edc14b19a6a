"""Audio in, windows out, one HDF5 store.

The promise of this package: whatever goes in (any rate, any channel count, any of the usual formats), what comes out
is float32 mono windows of one fixed length in a fixed order, and features cached under a key that names everything
they depend on. It imports none of the other packages.
"""


class InputError(ValueError):
    """Bad input from the user, told in one line: the place, what was found, what was wanted, the likely cause.

    The command prints the message on stderr and exits with 1. Any other exception is a bug and keeps its traceback.
    """

    def __init__(self, message: str):
        super().__init__(" ".join(str(message).split()))  # always one line
