"""What the commands' help ends with, and what is kept of those that are stopped."""

# command -> arguments of each example
EXAMPLES = {
    "models": ("", "--json"),
    "fetch": ("birdnet",),
    "convert": ("birdnet -o birdnet.onnx --audio clips/", "model.tflite -o model.onnx"),
    "check": ("birdnet", "model.onnx clips/ --sample-rate 16000 --window 10"),
    "randomise": ("birdnet -o birdnet-random.onnx", "model.onnx -o untrained.onnx --seed 1"),
    "blocks": ("model.onnx", "model.onnx --json"),
    "sweep": (
        "model.onnx clips/ -o runs/mine --group-regex '^(XC\\d+)'",
        "model.onnx clips.csv -o runs/mine --groups recordist --taps 12-25,embedding",
        "model.onnx clips/ -o runs/mine --control",
        "perch_v2.onnx birdclef-2026 -o runs/perch --select center",
    ),
    "compare": ("runs/perch runs/birdnet -o runs/both", "runs/birdnet perch.h5 -o runs/both"),
    "extract": (
        "model.onnx clips/ -o features.h5",
        "model.onnx soundscapes/ -o windows.h5 --unlabelled --taps embedding",
    ),
    "store info": ("features.h5", "features.h5 --json"),
    "store check": ("features.h5",),
    "store export": ("features.h5 -o features.npz --taps block_11,embedding",),
    "store import": ("perch.npz -o perch.h5 --tap perch --labels clips/",),
    "store join": ("features.h5 perch.h5 -o both.h5",),
    "store rank": ("features.h5 perch.h5", "features.h5 perch.h5 --readout linear,centroid"),
    "train": (
        "features.h5 -o runs/heads --taps auto:3 --head attention,linear:embedding",
        "focal.h5 soundscapes.h5 -o runs/heads --taps 21,24,25 --fold-by file",
        "focal.h5 soundscapes.h5 -o runs/time --head protossm,sequence,attention --first-pass logits",
        "s.h5 -o runs/time --taps embedding --first-pass logits --head mapped-logits,protossm",
    ),
    "fuse": ("runs/heads model.onnx -o fused.onnx --head attention",),
    "finetune": (
        "birdmae-tiny --smoke -o runs/smoke",
        "efficientnet-b1 birdclef-2026 -o runs/b1 --fold 0 --pretrained",
        "sed-b0 birdclef-2026 -o runs/sed --pretrained --teacher perch.h5 --teacher-labels labels.txt",
    ),
    "export": ("runs/b1 -o b1.onnx", "birdmae-large --pretrained -o birdmae.onnx"),
    "predict": (
        "fused.onnx test_soundscapes -o submission.csv",
        "runs/heads test_soundscapes -o heads.csv --tta-shifts 0,1,-1 --budget-minutes 80",
    ),
    "events": ("runs/sed recordings/ -o events.txt", "sed.onnx dawn.wav -o events.csv --threshold 0.7 --gap 0.5"),
    "blend": (
        "a.csv b.csv -o submission.csv --weights 0.6,0.4 --space logit",
        "raw.csv -o submission.csv --gaussian 1 --truth truth.csv",
        "first.csv sed.csv -o submission.csv --recipe eos7 --taxonomy taxonomy.csv",
    ),
    "score": ("submission.csv truth.csv", "submission.csv truth.csv --json"),
    "kernel": ("runs/heads -o kernel --tta-shifts 0,1,-1",),
    "figures": ("runs/mine", "runs/mine depth readouts --style print --columns 1", "runs/perch figure1 figure2"),
    "atlas": ("runs/* -o atlas", "paper/results/atlas -o atlas"),
    "paper": ("runs/mine runs/heads --about mine -o paper/mine", "-o paper/build --run runs/mine --run runs/heads"),
    "demo": ("", "-o runs/small --species 8 --clips 10", "--competition runs/comp"),
    "experiment": ("pseudo runs/comp -o runs/pseudo",),
}

# command -> what a stopped one leaves, and goes on from
RESUMED = {
    "sweep": "The features of the clips read so far are",
    "extract": "The features of the clips read so far are",
    "demo": "The features of the clips read so far are",
    "predict": "The soundscapes predicted so far are",
    "finetune": "The last checkpoint is",
    "experiment": "The stores finished so far are",
}
