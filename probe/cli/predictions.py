"""Commands on predictions: tables of one row a window, one column a class."""

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from ...features import InputError
from .options import Json, Overwrite, Seed, out
from .prediction_options import STEPS, Gaussian, Genus, Group, Power, PriorWeight, SampleSubmission, Smoothed
from .terminal import command_line, print_blend, print_json, print_scores, say

weighing = partial(typer.Option, rich_help_panel="Weights")  # a panel of --help
step = partial(typer.Option, rich_help_panel=STEPS)


def blend(
    members: Annotated[
        list[Path],
        typer.Argument(metavar="A.csv B.csv...", help="Submissions of any pipeline; one to post-process it."),
    ],
    output: Annotated[Path, out("OUT.csv", "The submission to write; OUT.json beside it says how.")],
    weights: Annotated[str | None, weighing(help="0.6,0.4 (any scale), or `search`; equal otherwise.")] = None,
    space: Annotated[str, weighing(help="What is averaged: prob, logit or rank.")] = "prob",
    oof: Annotated[str | None, weighing(help="search: the members' out-of-fold tables, comma-separated.")] = None,
    oof_truth: Annotated[Path | None, weighing(help="search: their 0/1 table.")] = None,
    names: Annotated[str | None, typer.Option(help="Of the members, comma-separated; the files' otherwise.")] = None,
    missing: Annotated[
        str, typer.Option(help="A member without some classes: error, or skip (blended from the others there).")
    ] = "error",
    taxonomy: Smoothed = None,
    genus: Genus = 0.15,
    group: Group = 0.05,
    prior: Annotated[
        Path | None,
        step(help="Site/hour prior of these labels (train_soundscapes_labels.csv)."),
    ] = None,
    prior_kind: Annotated[str, step(help="laplace or shrunk.")] = "laplace",
    prior_weight: PriorWeight = None,
    gaussian: Gaussian = None,
    kernel: Annotated[str | None, step(help="Or weights such as .1,.8,.1")] = None,
    power: Power = None,
    power_top: Annotated[int, step(min=1, help="Which is the mean of so many.")] = 2,
    no_call: Annotated[float | None, step(help="Rows whose maximum is below this are damped...")] = None,
    no_call_factor: Annotated[float, step(help="... by this factor.")] = 0.5,
    no_call_class: Annotated[str | None, step(help="A column that says no-call itself.")] = None,
    recipe: Annotated[
        str | None,
        typer.Option(
            help="eos7, the published chain, or a TOML file: instead of weights and steps.", metavar="NAME|TOML"
        ),
    ] = None,
    sonotypes: Annotated[Path | None, step(help="recipe: a CSV with primary_label and sonotype_group.")] = None,
    truth: Annotated[
        Path | None, typer.Option(help="0/1 table: adds the comparison of members and steps, with intervals.")
    ] = None,
    sample_submission: SampleSubmission = None,
    rows_per_file: Annotated[
        int | None, typer.Option(min=1, help="12 for BirdCLEF+ test soundscapes; unchecked else.")
    ] = None,
    seed: Seed = 0,
    overwrite: Overwrite = False,
) -> None:
    """Blend submissions, post-process the blend, validate it, and compare it with the truth where there is one."""
    given = dict(locals())
    from ...analysis.predictions.blend import blend as blend_files
    from ...analysis.predictions.submission import comparison_stem

    made = blend_files(**given, command=command_line())
    print_blend(made)
    if made.compared is not None:
        from ...figures import style
        from ...figures.predictions import comparison

        stem = comparison_stem(output)
        try:
            drawn = style.save(comparison.draw(stem.with_name(stem.name + ".csv")), stem)
            print("Picture: " + ", ".join(map(str, drawn)))
        except (OSError, InputError) as error:  # a full disk, say: the results are there, whole
            say(f"warning: the picture could not be drawn ({error})")
    if made.verdict:
        print(made.verdict)  # the last word


def score(
    predictions: Annotated[Path, typer.Argument(metavar="PRED.csv", help="row_id and one column a class.")],
    truth: Annotated[Path, typer.Argument(metavar="TRUTH.csv", help="The same rows and columns, 0 and 1.")],
    as_json: Json = False,
) -> None:
    """Macro ROC-AUC, cmAP and top-1 of predictions against the truth; which classes were left out."""
    from ...analysis.predictions.table import score as found_of

    found = found_of(predictions, truth)
    if as_json:
        print_json(found)
    else:
        print_scores(found)
