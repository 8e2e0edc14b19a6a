"""What the given runs leave open: the part of the paper, why it is not there, and the command that brings it.

Names in the commands are those of README; `runs/comp` is the competition's folder or a made-up one.
"""

from .macros import Missing
from .runs.derived import Evidence
from .runs.discovery import Sources
from .runs.roles import Roles

NO_RUN = "None of the runs given is one."
ESC10 = r"--group-regex '^\d-(\d+)-' --fold-regex '^(\d)-'"
MADE_UP = "birdprobe demo --competition runs/comp"
PARTS = {  # key -> (what, why, command)
    "perch": (
        "Table 1 repeated on Perch v2",
        "It needs perch_v2.onnx and the competition's folder, neither of which comes with this program.",
        "sh perch.sh perch_v2.onnx birdclef-2026 runs",
    ),
    "sweep": (
        "the ranking of another real backbone's blocks on real recordings",
        NO_RUN,
        f"birdprobe sweep BirdNET_GLOBAL_6K_V2.4.onnx esc10 -o runs/esc10 \\\n  {ESC10} --classes 10 --per-class 40",
    ),
    "regrouped": (
        "the same recordings under other labels",
        "No two of the sweeps given read one backbone on the same recordings under different labels.",
        "birdprobe sweep BirdNET_GLOBAL_6K_V2.4.onnx relabelled.csv -o runs/relabelled \\\n"
        "  --classes 2 --per-class 200",
    ),
    "standin": ("the ranking of Wren's blocks on made-up species", NO_RUN, "birdprobe demo -o runs/demo"),
    "weights": (
        "trained heads' weights against the probe",
        NO_RUN,
        "birdprobe train runs/esc10/features.h5 -o runs/esc10-all --taps all --head attention,scalarmix --loss ce \\\n"
        "  --sweep runs/esc10",
    ),
    "heads": (
        "heads on cached features",
        NO_RUN,
        "birdprobe train runs/esc10/features.h5 -o runs/esc10-heads --taps auto:3 --loss ce \\\n"
        "  --head attention,scalarmix,concat,linear:embedding",
    ),
    "comparison": (
        "members and a blend against the truth",
        NO_RUN,
        "birdprobe blend runs/attention.csv runs/linear.csv -o runs/submission.csv --weights 0.4,0.6 \\\n"
        "  --truth runs/comp/truth/truth.csv",
    ),
    "pseudo": (
        "pseudo-labels where the truth is known",
        NO_RUN,
        f"{MADE_UP}\nbirdprobe experiment pseudo runs/comp -o runs/pseudo",
    ),
    "residual": (
        "residual tokens where the truth is known",
        NO_RUN,
        f"{MADE_UP}\nbirdprobe experiment residual runs/comp -o runs/residual",
    ),
    "priors": (
        "stronger priors where the truth is known",
        NO_RUN,
        f"{MADE_UP}\nbirdprobe experiment priors runs/comp -o runs/priors",
    ),
    "members": (
        "fine-tuned models",
        NO_RUN,
        "birdprobe finetune birdmae-large birdclef-2026 -o runs/birdmae --pretrained",
    ),
}


def gaps(sources: Sources, roles: Roles, evidence: Evidence) -> tuple[Missing, ...]:
    """In the order of the text."""
    found = [Missing(key, *PARTS[key]) for key in PARTS if key != "members" and getattr(roles, key) is None]
    if not sources.members:
        found.append(Missing("members", *PARTS["members"]))
    main = roles.perch or roles.sweep
    for key, there, what in (
        ("budget", evidence.budgets, "how many clips the probe needs"),
        ("leakage", evidence.leaks, "random against group folds"),
    ):
        if main is None:
            found.append(Missing(key, what, "It needs a sweep of a real backbone.", PARTS["sweep"][2]))
        elif main.name not in there:
            reason = evidence.reasons.get(f"{key} {main.name}", "unknown")
            found.append(
                Missing(key, f"{what} in {main.name}", f"{reason[:1].upper()}{reason[1:]}.".replace("..", "."))
            )
    return tuple(found)
