"""What kernels are tried on."""

import numpy as np
import pandas as pd
import soundfile

from birdprobe.analysis.postprocess import site_hour
from tests.heads.untrained import LABELS

NAMES = [f"BC2026_Test_000{i}_S0{i}_20260512_050000" for i in (1, 2, 3)]


OTHER = "not-in-the-model"


def sing(path, seconds=6.0, rate=16000, seed=0, channels=1):
    """Noise whose loudness and pitch change from second to second, at another rate than the model's."""
    rng = np.random.default_rng([seed, 7])
    t = np.arange(round(seconds * rate)) / rate
    pitch, gain = rng.uniform(200, 3000, 9)[t.astype(int)], rng.uniform(0.05, 0.3, 9)[t.astype(int)]
    wave = gain * np.sin(2 * np.pi * pitch * t) + rng.normal(0, 0.02, len(t))
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.stack([wave, 0.5 * wave], axis=1)[:, :channels], rate)
    return path


def sample(folder, names, ends=(2, 4, 6)):
    classes = [LABELS[2], OTHER, LABELS[0], LABELS[1]]
    rows = [f"{name}_{end}" for name in names for end in ends]
    table = pd.DataFrame(0.25, index=pd.Index(rows, name="row_id"), columns=classes)
    table.to_csv(folder / "sample_submission.csv")


def taxonomy_of(folder):
    """Two of the model's classes are of one genus and class, the third is alone."""
    rows = [f"{LABELS[0]},Parus major,Aves", f"{LABELS[1]},Parus ater,Aves", f"{LABELS[2]},Insecta,Insecta"]
    (folder / "taxonomy.csv").write_text("primary_label,scientific_name,class_name\n" + "\n".join(rows) + "\n")
    return folder / "taxonomy.csv"


def prior_of(folder):
    """The first class was heard at site S01 at 5 h, and not at 6 h."""
    rows = [f"BC2026_Train_000{hour}_S01_20260501_0{hour}0000_5" for hour in (5, 6)]
    site_hour.fit(pd.DataFrame([[True], [False]], rows, [LABELS[0]])).write(folder / "prior.json")
    return folder / "prior.json"
