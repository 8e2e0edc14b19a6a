"""Audio transformers of the transformers library: random weights, as narrow as can be, as deep as published."""

from collections.abc import Callable

import torch
from torch import nn

WIDTHS = {"hidden_size": 48, "num_hidden_layers": 12, "num_attention_heads": 4, "intermediate_size": 96}
SPEECH = {  # name -> (class, what else its configuration needs, shape of one input)
    "wav2vec2": ("Wav2Vec2", {}, (16_000,)),
    "hubert": ("Hubert", {}, (16_000,)),
    "hubert-stable-norm": ("Hubert", {"do_stable_layer_norm": True, "feat_extract_norm": "layer"}, (16_000,)),
    "wavlm": ("WavLM", {}, (16_000,)),  # its gated relative position bias is that of BEATs
    "data2vec-audio": ("Data2VecAudio", {"num_conv_pos_embeddings": 5, "conv_pos_kernel_size": 5}, (16_000,)),
    "unispeech-sat": ("UniSpeechSat", {}, (16_000,)),
    "wav2vec2-conformer": ("Wav2Vec2Conformer", {}, (16_000,)),
    "sew": ("SEW", {"conv_dim": (32,) * 13}, (16_000,)),
    "wav2vec2-bert": ("Wav2Vec2Bert", {"feature_projection_input_dim": 64}, (64, 64)),
}


class First(nn.Module):
    """The first output of a model of transformers."""

    def __init__(self, model: nn.Module):
        super().__init__()
        self.model = model

    def forward(self, x):
        return self.model(x, return_dict=False)[0]


class WhisperEncoder(nn.Module):
    """Whisper's encoder and a classifier."""

    def __init__(self):
        super().__init__()
        import transformers

        sizes = {f"{part}_{name}": n for part in ("encoder", "decoder") for name, n in
                 (("layers", 4), ("attention_heads", 4), ("ffn_dim", 96))}  # fmt: skip
        config = transformers.WhisperConfig(d_model=48, num_mel_bins=40, max_source_positions=100, **sizes)
        self.encoder = transformers.WhisperModel(config).encoder
        self.classifier = nn.Linear(48, 9)

    def forward(self, x):
        return self.classifier(self.encoder(x).last_hidden_state.mean(1))


def build(name: str) -> tuple[nn.Module, tuple[int, ...]]:
    """(The model in evaluation mode, the shape of one input)."""
    from birdprobe.finetune.models.timm_import import import_timm

    import_timm()  # which transformers imports, too: where torchvision does not fit torch that fails, whatever came first
    import transformers

    makers: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
        "ast": (_ast, (128, 64)),
        "clap-htsat": (_clap, (1, 512, 32)),
        "parakeet-encoder": (_parakeet, (200, 80)),
        "whisper-encoder": (WhisperEncoder, (40, 200)),
    }
    if name in makers:
        make, shape = makers[name]
        return make().eval(), shape
    family, more, shape = SPEECH[name]
    convolutions = {"conv_dim": (32,) * 7, "num_conv_pos_embeddings": 16, "num_conv_pos_embedding_groups": 4}
    config = getattr(transformers, f"{family}Config")(
        **{**WIDTHS, **convolutions, "num_labels": 9, "classifier_proj_size": 16, "apply_spec_augment": False, **more}
    )
    return First(getattr(transformers, f"{family}ForSequenceClassification")(config)).eval(), shape


def _ast() -> nn.Module:
    import transformers

    config = transformers.ASTConfig(**WIDTHS, max_length=128, num_mel_bins=64, num_labels=9)
    return First(transformers.ASTForAudioClassification(config))


def _clap() -> nn.Module:
    import transformers

    config = transformers.ClapAudioConfig(
        patch_embeds_hidden_size=16, hidden_size=128, projection_dim=32, depths=[2, 2, 6, 2], spec_size=128,
        num_attention_heads=[2, 4, 8, 16], enable_fusion=False, num_mel_bins=32, window_size=4,
    )  # fmt: skip
    return First(transformers.ClapAudioModelWithProjection(config))


def _parakeet() -> nn.Module:
    """FastConformer: its subsampling by eight has two separable convolutions."""
    import transformers

    config = transformers.ParakeetEncoderConfig(
        hidden_size=48, num_hidden_layers=4, num_attention_heads=4, intermediate_size=96,
        subsampling_conv_channels=16, num_mel_bins=80,
    )  # fmt: skip
    return First(transformers.ParakeetEncoder(config))


def audio_export(name: str, folder, dynamo: bool):
    """The model through one of torch's two exporters (dynamo: the newer), free batch, as birdprobe loads it."""
    import logging
    import warnings

    from birdprobe.probe.graph.load import load

    torch.manual_seed(0)
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    model, shape = build(name)
    path, x = folder / f"{name}-{dynamo}.onnx", torch.randn(2, *shape)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # both exporters warn about themselves
        if dynamo:
            shapes = ({0: torch.export.Dim.AUTO},)
            torch.onnx.export(model, (x,), path, dynamo=True, dynamic_shapes=shapes, verbose=False)
        else:
            axes = {"input": {0: "batch"}}
            torch.onnx.export(model, (x,), path, dynamo=False, dynamic_axes=axes, input_names=["input"])
    return load(path)
