"""The readers alone, on small inputs: what the fast test runs a few hundred cases of in a few seconds."""

from pathlib import Path

from tests.fuzz.files import named, split
from tests.fuzz.mutations import change_bytes, change_json, change_table
from tests.fuzz.stores import change_store
from tests.fuzz.targets import Target, audio_seeds, either, inside, run_audio, run_model
from tests.world import write_tables


def model_seeds(world: Path) -> list[bytes]:
    from tests.waveform_models import convolutional, transformer

    return [model.SerializeToString() for model in (convolutional()[0], transformer()[0])]


def store_seeds(world: Path) -> list[bytes]:
    from tests.features.stores import fill

    return [fill(world / "small.h5", range(3)).read_bytes()]


def run_store(case: bytes, world: Path, folder: Path) -> None:
    from birdprobe.features.store import open_store

    path = folder / "s.h5"
    path.write_bytes(case)
    with open_store(path) as store:
        store.check()
        store.export(folder / "x.csv", store.taps)


def table_seeds(world: Path) -> list[bytes]:
    (world / "clips").mkdir()
    (world / "clips" / "a.wav").write_bytes(b"RIFF")
    write_tables(world)
    (world / "p.csv").write_text("row_id,species 0,species 1\nr0_5,0.5,0.25\nr0_10,1,0\n")
    (world / "manifest.csv").write_text("path,label,group,fold\nclips/a.wav,x,g,0\nclips/a.wav,y;z,h,1\n")
    (world / "annotations.csv").write_text("filename,start,end,primary_label\nclips/a.wav,00:00:00,00:00:05,x;y\n")
    names = ("p.csv", "manifest.csv", "annotations.csv", "taxonomy.csv", "labels.txt")
    return [named(name, (world / name).read_bytes()) for name in names]


def run_table(case: bytes, world: Path, folder: Path) -> None:
    from birdprobe.analysis.predictions.table import read_predictions, read_truth
    from birdprobe.features import InputError
    from birdprobe.features.recordings import read_recordings
    from birdprobe.features.recordings.taxonomy import read_classes
    from birdprobe.probe.soundscapes.predictor import read_labels

    (folder / "clips").mkdir()
    (folder / "clips" / "a.wav").write_bytes(b"RIFF")
    path = folder / "t.csv"
    path.write_bytes(split(case)[1])
    failed = None
    for reader in (read_predictions, read_truth, read_recordings, read_classes, read_labels):
        try:
            reader(path)
        except InputError as error:
            failed = error
    if failed:
        raise failed


def json_seeds(world: Path) -> list[bytes]:
    from tests.swept import make_sweep

    run = make_sweep(world / "run")
    return [
        (run / "config.json").read_bytes(),
        b'{"format": "birdprobe member 1", "member": "pebble", "labels": ["x"]}',
    ]


def run_json(case: bytes, world: Path, folder: Path) -> None:
    from birdprobe.features import InputError
    from birdprobe.features.files import read_json
    from birdprobe.features.output_folder import Kind, OutputFolder
    from birdprobe.finetune.checkpoint import Description, describe

    path = folder / "config.json"
    path.write_bytes(case)
    (folder / "config.safetensors").write_bytes(b"")
    check = OutputFolder(folder, Kind("sweep", "a finished run", ("*.csv",), ("settings",))).check
    failed = None
    for reader in (read_json, lambda path: describe(path, Description), lambda path: check(True)):
        try:
            reader(path)
        except InputError as error:
            failed = error
    if failed:
        raise failed


QUICK = {
    "onnx": (60, Target(model_seeds, either(change_bytes, change_bytes), run_model)),
    "store": (150, Target(store_seeds, either(change_bytes, change_store, change_store), run_store)),
    "audio": (300, Target(audio_seeds, inside(change_bytes), run_audio)),
    "csv": (300, Target(table_seeds, inside(change_bytes, change_table), run_table)),
    "json": (300, Target(json_seeds, either(change_bytes, change_json), run_json)),
}
