#!/bin/sh
# Table 1 of the working note on the real model and the competition's data, then what it left out.
#
#   sh perch.sh [perch_v2.onnx] [birdclef-2026] [runs]
#
# perch_v2.onnx: either published file; birdclef-2026: the competition's folder, with train.csv.
set -eu
MODEL=${1:-perch_v2.onnx}
DATA=${2:-birdclef-2026}
RUNS=${3:-runs}
SPECIES=${SPECIES:-30}
CLIPS=${CLIPS:-20}

# The published protocol: ten blocks, one window a clip, 5-NN, five folds. The note names neither
# the window nor the scaling of the waveform: two windows are tried, unscaled as on Kaggle.
for WINDOW in center random:1; do
  birdprobe sweep "$MODEL" "$DATA" -o "$RUNS/table1-${WINDOW%:*}" --taps 1,4,7,12,17,21-25 \
    --select "$WINDOW" --normalise none --classes "$SPECIES" --per-class "$CLIPS" --k 5 --folds 5
done

# What the note left out: all blocks and the final embedding, with clips of one author kept together.
birdprobe sweep "$MODEL" "$DATA" -o "$RUNS/perch" --select center --groups author --projection umap \
  --classes "$SPECIES" --per-class "$CLIPS" --k 5 --folds 5

# The heads on blocks 21, 24 and 25, then on all ten, where weights can be compared with the probe.
TEN=1,4,7,12,17,21-25
birdprobe extract "$MODEL" "$DATA" -o "$RUNS/focal.h5" \
  --taps "$TEN,embedding" --select random:3 --groups author
birdprobe extract "$MODEL" "$DATA/train_soundscapes_labels.csv" -o "$RUNS/soundscapes.h5" \
  --taps "$TEN,embedding"
birdprobe train "$RUNS/focal.h5" "$RUNS/soundscapes.h5" -o "$RUNS/perch-heads" --fold-by file \
  --taps 21,24,25 --head attention,scalarmix,linear:embedding --taxonomy "$DATA/taxonomy.csv"
birdprobe train "$RUNS/focal.h5" "$RUNS/soundscapes.h5" -o "$RUNS/perch-weights" --fold-by file \
  --taps "$TEN" --head attention,scalarmix --taxonomy "$DATA/taxonomy.csv" --sweep "$RUNS/perch"

# Published against ours: tables, figures, claims and text.
birdprobe paper -o "$RUNS/paper" --run "$RUNS/perch" --run "$RUNS/table1-center" \
  --run "$RUNS/table1-random" --run "$RUNS/perch-heads" --run "$RUNS/perch-weights"
