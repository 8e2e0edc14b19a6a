"""birdprobe: which model, which block, read how, for your recordings - and how sure is that?

    import birdprobe as bp
    run = bp.sweep("model.onnx", "clips/", "runs/mine", group_regex=r"^(XC\\d+)")    # the whole job
    run.ranking, run.readouts, run.answer, run.report
    X, rows = run.features("block_11")
    backbone = bp.open_backbone("model.onnx", taps="-4,embedding")

Names are imported when they are first used: `import birdprobe` costs nothing, and torch, onnxruntime and umap stay out
until something needs them.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .features import InputError

if TYPE_CHECKING:
    from .analysis.predictions import read_predictions, score
    from .analysis.predictions.blend import blend
    from .features.store import FeatureStore, import_features, join_features, open_store
    from .features.synthetic.clips import write_dataset as make_clips
    from .figures.gallery import save as draw_figures
    from .finetune.api import fine_tune
    from .finetune.export import export
    from .finetune.predictor import open_member
    from .heads.api import train
    from .heads.estimator import HeadClassifier
    from .heads.experiments import run_experiment
    from .heads.fuse import fuse
    from .heads.kaggle import write_kernel
    from .heads.soundscapes import find_events, open_predictor, predict
    from .paper.atlas import atlas as build_atlas
    from .paper.build import build as build_paper
    from .probe.api import extract, find_blocks, open_backbone
    from .probe.models.conformance import check
    from .probe.models.convert import convert
    from .probe.models.fetch import fetch
    from .probe.models.randomise import randomise
    from .probe.ranking import RankedFeatures, rank, rank_stores
    from .probe.runtime.backbone import Backbone
    from .probe.sweep.compare import Comparison, compare
    from .probe.sweep.result import SweepResult, open_sweep
    from .probe.sweep.sweep import sweep

# name -> room.module:name, imported when it is first asked for; no name of a room, which is a module
_PUBLIC = {
    "Backbone": "probe.runtime.backbone:Backbone",
    "FeatureStore": "features.store:FeatureStore",
    "HeadClassifier": "heads.estimator:HeadClassifier",
    "Comparison": "probe.sweep.compare:Comparison",
    "RankedFeatures": "probe.ranking:RankedFeatures",
    "SweepResult": "probe.sweep.result:SweepResult",
    "blend": "analysis.predictions.blend:blend",
    "check": "probe.models.conformance:check",
    "compare": "probe.sweep.compare:compare",
    "convert": "probe.models.convert:convert",
    "export": "finetune.export:export",
    "extract": "probe.api:extract",
    "draw_figures": "figures.gallery:save",
    "fetch": "probe.models.fetch:fetch",
    "find_blocks": "probe.api:find_blocks",
    "find_events": "heads.soundscapes:find_events",
    "import_features": "features.store:import_features",
    "join_features": "features.store:join_features",
    "rank_stores": "probe.ranking:rank_stores",
    "fine_tune": "finetune.api:fine_tune",
    "fuse": "heads.fuse:fuse",
    "make_clips": "features.synthetic.clips:write_dataset",
    "open_backbone": "probe.api:open_backbone",
    "open_member": "finetune.predictor:open_member",
    "open_predictor": "heads.soundscapes:open_predictor",
    "open_store": "features.store:open_store",
    "open_sweep": "probe.sweep.result:open_sweep",
    "build_atlas": "paper.atlas:atlas",
    "build_paper": "paper.build:build",
    "predict": "heads.soundscapes:predict",
    "randomise": "probe.models.randomise:randomise",
    "rank": "probe.ranking:rank",
    "run_experiment": "heads.experiments:run_experiment",
    "read_predictions": "analysis.predictions:read_predictions",
    "score": "analysis.predictions:score",
    "sweep": "probe.sweep.sweep:sweep",
    "train": "heads.api:train",
    "write_kernel": "heads.kaggle:write_kernel",
}

__all__ = ["InputError", "__version__", *_PUBLIC]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("birdprobe")
    if name not in _PUBLIC:
        raise AttributeError(f"module 'birdprobe' has no attribute {name!r}")
    module, attribute = _PUBLIC[name].split(":")
    found = getattr(import_module(f".{module}", __name__), attribute)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted(__all__)
