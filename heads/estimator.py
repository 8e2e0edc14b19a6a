"""The heads as a scikit-learn classifier: grid searches, pipelines and cross_val_score over the same training loop.

    HeadClassifier("attention", widths={"block_21": 232, "block_24": 384}).fit(x, y, groups=recordists)   # x [n, 616]
    HeadClassifier("scalarmix").fit({"block_21": x21, "block_24": x24}, y)                                # by tap

`birdprobe train` does more: stores, sources, folds, checkpoints. Pickling a fitted classifier is scikit-learn's own
way of copying it between processes; what is kept or passed on belongs in a checkpoint.
"""

import copy

import numpy as np
import torch
from scipy.sparse import issparse
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.model_selection import GroupShuffleSplit, ShuffleSplit
from sklearn.utils import check_random_state, column_or_1d
from sklearn.utils.multiclass import check_classification_targets, type_of_target
from sklearn.utils.validation import check_consistent_length, check_is_fitted, validate_data

from ..analysis.metrics import macro_auc
from ..features import InputError
from .modules import build
from .training.folds import Split
from .training.loop import Settings, fit

ROWS = 4096  # predicted at a time
SIZED = ("attention", "scalarmix")  # heads with a width of their own


class HeadClassifier(ClassifierMixin, BaseEstimator):
    """A head on pooled features; one label a row, or several (`y` a 0/1 matrix [n, K]).

    Args:
        head: one of `heads.modules.KINDS`; "linear" takes one tap.
        widths: how the columns of X divide into taps: {tap: width}, in order; None: one tap, or X given by tap.
        loss: "bce", "asl" or "ce"; "auto" is ce (probabilities sum to 1) for one label a row, bce for several.
        dim, dropout: of the attention and scalarmix heads. epochs, batch_size, learning_rate, weight_decay, mixup: see
            `heads.training.loop.Settings`, whose defaults these are.
        early_stopping: hold out `validation_fraction` of the rows (of the groups, where fit gets groups: then none is
            on both sides), and keep the epoch with the best macro ROC-AUC there; stop `patience` epochs after it.
        random_state: seed of the weights, the batches and the held-out rows. An int makes fits repeatable on CPU.

    After fit: classes_ (of K columns: 0..K-1), n_features_in_, widths_, module_ (the torch head), tap_weights_ (tap ->
    share of what the head reads, mean over the training rows), losses_ (mean, per epoch), epoch_ (the one kept),
    validation_score_ (nan without early stopping).
    """

    def __init__(
        self,
        head="attention",
        *,
        widths=None,
        loss="auto",
        dim=256,
        dropout=0.1,
        epochs=50,
        batch_size=None,
        learning_rate=1e-3,
        weight_decay=0.01,
        mixup=0.2,
        early_stopping=False,
        validation_fraction=0.2,
        patience=10,
        random_state=None,
    ):
        self.head = head
        self.widths = widths
        self.loss = loss
        self.dim = dim
        self.dropout = dropout
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.mixup = mixup
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.patience = patience
        self.random_state = random_state

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags

    def fit(self, X, y, groups=None):
        """X [n, sum of widths] or {tap: [n, width]}; y [n] labels of any kind or [n, K] of 0 and 1; groups [n].

        groups matter to early stopping only: which rows may not be parted when some are held out.
        """
        widths = {tap: _flat(x).shape[1] for tap, x in X.items()} if _by_tap(X) else None
        X, y = validate_data(self, self._stacked(X, widths), y, dtype=np.float32, order="C", multi_output=True)
        if len(X) < 2:
            raise InputError(f"head {self.head}: expected at least 2 samples, got 1 sample.")
        self.widths_ = widths or self._widths(X.shape[1])
        targets = self._targets(y)
        random = check_random_state(self.random_state)
        settings = self._settings(int(random.randint(2**31 - 1)))
        split, judge = self._held_out(targets, groups, random)
        options = {"dim": self.dim, "dropout": self.dropout} if self.head in SIZED else {}
        make = lambda: build(self.head, self.widths_, targets.shape[1], **options)  # noqa: E731
        xs = self._pieces(X)
        (fitted,) = fit(make, xs, torch.from_numpy(targets), [split], settings, judge)
        self.module_ = fitted.module
        self.losses_, self.epoch_, self.validation_score_ = fitted.losses, fitted.epoch, float(fitted.score)
        with torch.inference_mode():
            weights = torch.cat([torch.atleast_2d(self.module_.tap_weights(piece)) for piece in _batches(xs)]).mean(0)
        self.tap_weights_ = dict(zip(self.widths_, weights.tolist()))
        return self

    def predict_proba(self, X):
        """float64 [n, classes]; for one label a row each row sums to 1.

        Computed in float64: in float32 a row's last digits depend on the rows beside it, because a processor's matrix
        products sum in another order for other numbers of rows.
        """
        check_is_fitted(self)
        X = validate_data(self, self._stacked(X, self.widths_), dtype=np.float32, order="C", reset=False)
        module = copy.deepcopy(self.module_).double()
        with torch.inference_mode():
            logits = torch.cat([module(piece) for piece in _batches([x.double() for x in self._pieces(X)])])
        if self._several:
            return logits.sigmoid().numpy()
        scores = logits.softmax(-1) if self._resolved_loss() == "ce" else logits.sigmoid()
        return (scores / scores.sum(dim=-1, keepdim=True)).numpy()

    def predict(self, X):
        """The likeliest label of each row [n], or for several labels a row those above 0.5, 0/1 [n, K]."""
        probabilities = self.predict_proba(X)
        if self._several:
            return (probabilities > 0.5).astype(np.int64)
        return self.classes_[probabilities.argmax(axis=1)]

    # ---- inside

    def _stacked(self, X, widths):
        """X as one table. InputError: taps by name that are missing, or of another width or length."""
        if not _by_tap(X):
            return X
        if missing := [tap for tap in widths if tap not in X]:
            raise InputError(f"X: expected the taps {', '.join(missing)} too, got {', '.join(X) or 'none'}.")
        pieces = [_flat(X[tap]) for tap in widths]
        for (tap, width), piece in zip(widths.items(), pieces):
            if piece.shape != (len(pieces[0]), width):
                raise InputError(f"X, tap {tap}: expected {(len(pieces[0]), width)}, got {piece.shape}.")
        if not pieces:
            raise InputError("X: expected at least one tap, got none.")
        return np.concatenate(pieces, axis=1)

    def _widths(self, n_features):
        if self.widths is None:
            return {"features": n_features}
        if sum(self.widths.values()) != n_features:
            found = " + ".join(f"{tap} {width}" for tap, width in self.widths.items())
            raise InputError(f"widths: expected a sum of {n_features}, the columns of X, got {found}.")
        return dict(self.widths)

    def _targets(self, y):
        """float32 [n, K]; sets classes_."""
        self._several = type_of_target(y) == "multilabel-indicator"
        if self._several:
            self.classes_ = np.arange(y.shape[1])
            return (y.toarray() if issparse(y) else np.asarray(y)).astype(np.float32)
        y = column_or_1d(y, warn=True)
        check_classification_targets(y)
        self.classes_, codes = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise InputError(f"head {self.head}: expected at least 2 classes in y, got 1 class ({self.classes_[0]}).")
        return (codes[:, None] == np.arange(len(self.classes_))).astype(np.float32)

    def _resolved_loss(self):
        if self.loss != "auto":
            return self.loss
        return "bce" if self._several else "ce"

    def _settings(self, seed):
        return Settings(
            loss=self._resolved_loss(),
            epochs=self.epochs,
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            weight_decay=self.weight_decay,
            mixup=self.mixup,
            patience=self.patience if self.early_stopping else None,
            seed=seed,
        )

    def _held_out(self, targets, groups, random):
        """(what to train on, the judge of an epoch or None)."""
        rows = np.arange(len(targets))
        if groups is not None:
            check_consistent_length(targets, groups)
        if not self.early_stopping:
            return Split((rows,), rows[:0]), None
        kind = ShuffleSplit if groups is None else GroupShuffleSplit
        train, held = next(kind(1, test_size=self.validation_fraction, random_state=random).split(rows, groups=groups))
        return Split((train,), held), lambda at, logits: macro_auc(targets[at] > 0, logits.numpy())

    def _pieces(self, X):
        """[n, features] -> one tensor [n, width] a tap; copied, because X may be read-only."""
        return list(torch.from_numpy(np.array(X)).split(list(self.widths_.values()), dim=1))


def _by_tap(X) -> bool:
    return isinstance(X, dict) and not issparse(X)  # one of SciPy's sparse formats is a dict too


def _flat(x) -> np.ndarray:
    x = np.asarray(x)
    return x.reshape(len(x), -1)


def _batches(xs):
    return (list(piece) for piece in zip(*(x.split(ROWS) for x in xs)))
