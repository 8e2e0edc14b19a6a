"""What a model takes, read from its declared inputs and outputs; flags complete and overrule it."""

import onnx
import pytest
from onnx import TensorProto, helper

from birdprobe.features import InputError
from birdprobe.probe.runtime.input_spec import read_input_spec, recognise, waveform_shape


def contract_of(shape: list, outputs: dict[str, list]) -> onnx.ModelProto:
    """A model that declares this input and these outputs."""
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)]
    infos = [helper.make_tensor_value_info(name, TensorProto.FLOAT, dims) for name, dims in outputs.items()]
    nodes = [helper.make_node("Identity", ["x"], [name]) for name in outputs]
    return helper.make_model(helper.make_graph(nodes, "contract", inputs, infos))


PERCH = {
    "embedding": ["N", 1536],
    "spatial_embedding": ["N", 16, 4, 1536],
    "spectrogram": ["N", 500, 128],
    "label": ["N", 9],
}


@pytest.mark.parametrize(
    ("shape", "outputs", "wanted"),
    [
        (["N", 160000], PERCH, ("perch-v2", 32000, 5.0, "peak")),
        (["N", 160000], {n: [*s[:-1], 384] for n, s in PERCH.items()}, ("perch-v2", 32000, 5.0, "peak")),  # a miniature
        (["N", 160000], {"embedding": ["N", 1536], "logits": ["N", 9]}, (None, None, None, "none")),  # 10 s at 16 kHz
        (["N", 144000], {"scores": ["N", 10]}, (None, None, None, "none")),  # 9 s at 16 kHz
        (["N", 160000], {f"output_{i}": s for i, s in enumerate(PERCH.values())}, ("perch-v2", 32000, 5.0, "peak")),
        (["N", 144000], {"Identity": ["N", 6522]}, ("birdnet-v2.4", 48000, 3.0, "none")),
        (["N", 160000], {"scores": ["N", 10]}, (None, None, None, "none")),
        (["N", 1, 144000], {"scores": ["N", 10]}, (None, None, None, "none")),
        (["N", 32000], {"embedding": ["N", 1536]}, (None, None, None, "none")),
    ],
)
def test_presets_are_read_from_the_contract(shape, outputs, wanted):
    assert recognise(contract_of(shape, outputs)) == wanted


def test_flags_complete_and_overrule_the_contract():
    perch = contract_of(["N", 160000], PERCH)
    plain = contract_of(["N", 32000], {"scores": ["N", 10]})
    free = contract_of(["N", "S"], {"scores": ["N", 10]})
    assert read_input_spec(perch, "m", None, None, None).normalise == "peak"
    assert read_input_spec(perch, "m", None, None, "none").normalise == "none"
    assert read_input_spec(perch, "m", 16000, None, None).preset is None  # another rate: not what the preset says
    assert read_input_spec(plain, "m", 16000, None, None).window_samples == 32000
    assert read_input_spec(free, "m", 16000, 1.5, None).window_samples == 24000
    assert waveform_shape(contract_of([1, 1, 8], {"y": [1]}), "m", 8) == (1, 1, 8)
    for model, arguments, message in [
        (plain, (None, None, None), "fits no preset, so the audio's rate is unknown: give --sample-rate$"),
        (free, (None, None, None), "give --sample-rate and --window$"),
        (free, (16000, None, None), "no fixed length: give --window"),
        (plain, (16000, 5.0, None), r"5 s at 16000 Hz are 80000 samples, but the input is fixed to 32000 \(2 s\)"),
        (perch, (None, 3.0, None), "3 s at 32000 Hz are 96000 samples, but the input is fixed to 160000"),
        (plain, (16000, None, "loud"), "--normalise: found 'loud', wanted one of none, peak, file-peak"),
    ]:
        with pytest.raises(InputError, match=message):
            read_input_spec(model, "m.onnx", *arguments)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        (
            ["N", 1, 500, 128],
            r"input \[\?,1,500,128\] is no mono waveform .* such as --frontend mel:n_fft=2048,hop=512,n_mels=128,db",
        ),
        (["N", 1, 1, 16000], r"m.onnx: input \[\?,1,1,16000\] has axes of one .* Export it without them\?"),
        (["N", 2, 16000], r"input \[\?,2,16000\], wanted a mono waveform"),
        ([1, 1, 1, 1, 8], "wanted a mono waveform"),
    ],
)
def test_inputs_that_are_no_waveform(shape, message):
    model = contract_of(shape, {"y": ["N", 2]})
    with pytest.raises(InputError, match=message):
        shape = waveform_shape(model, "m.onnx", read_input_spec(model, "m.onnx", 16000, None, None).window_samples)
