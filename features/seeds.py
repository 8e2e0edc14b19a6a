"""Seeds that every random generator of the package takes."""

from . import InputError

MOST_SEED = 2**31 - 1  # scikit-learn takes no more than 32 bits, and folds add to it


def check_seed(seed: int) -> None:
    """InputError unless it is a whole number from 0 to MOST_SEED."""
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed <= MOST_SEED:
        raise InputError(f"`--seed` must be a whole number from 0 to {MOST_SEED}, got {seed}.")
