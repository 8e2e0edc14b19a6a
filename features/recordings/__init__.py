"""The table of clips: what AUDIO is, which clips belong together, which are used, and into which folds they go.

AUDIO is a folder with a sub-folder a class, a CSV manifest, a BirdCLEF folder, or BirdCLEF's table of labelled
soundscapes (train_soundscapes_labels.csv); it is recognised by its content.
Labels are strings, read as they are written less the blanks around them: '47158son01' and '1595929' are names, and
'Dog' and 'dog' are two classes, with a warning. A group is what must not be split between training and test (a
recording, an author, a site).
"""

from .clips import Clip, Recordings
from .folds import assign_folds
from .names import SoundscapeName
from .reading import read_recordings
from .sampling import choose, drop_rare

__all__ = ["Clip", "Recordings", "SoundscapeName", "assign_folds", "choose", "drop_rare", "read_recordings"]
