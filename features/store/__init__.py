"""The store: cached features in one HDF5 file, an array per tap and a row per window, that survives its writer.

    from features.store import FeatureStore, StoreKey, join

    committed        int64 [2]: number of commits; 1 when complete. The single source of truth: whatever lies beyond
                     the last commit (a writer was killed) is absent for every reader and cut off by the next writer
    commits          int64 [commits, 5 + taps]: where rows and text end by now, then CRC-32s of what this commit added
    taps/TAP         float32 or float16 [rows, *dims]
    rows, skipped    uint8 [bytes]: the row table and the clips that could not be read, a JSON array per line
    key, meta        JSON, with a CRC

No compression: features shrink by 5-18 % and gzip reads ten times slower. No filter and the oldest file format,
because with those no kill at any moment was seen to lose committed rows. A commit is: data, flush + fsync, then the
counter, flush + fsync.
"""

from .exchange import align_store, import_features, join_features
from .file import Locked
from .key import StoreKey
from .shards import join
from .store import FeatureStore, open_store
from .table import ROW_COLUMNS, SKIP_COLUMNS

__all__ = [
    *("ROW_COLUMNS", "SKIP_COLUMNS", "FeatureStore", "Locked", "StoreKey", "join", "open_store"),
    *("align_store", "import_features", "join_features"),
]
