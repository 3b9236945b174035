"""The kinds of students; a new one is a module in this folder and an entry in this table."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class StudentKind:
    """One kind of student.

    Parameters
    ----------
    module
        The module in this folder with ``fit`` (from a training set) and ``load`` (from a folder).
    method
        The training method, for the model card; ``{model}`` stands for the base model.
    suffix
        The suffix of ``--student MODEL:SUFFIX``; empty for a kind without one.
    model
        The default base model.
    library
        The library that loads it from the Hub; empty where only tutelage can.
    balanced
        Whether it uses balanced class weights by default.
    one_process
        Whether it trains in one process even where several are started.
    tracked
        Whether its losses can be reported to a tracker.
    options
        The options of ``train`` that have an effect; None for all.
    """

    module: str
    method: str
    suffix: str = ""
    model: str = ""
    library: str = ""
    balanced: bool = True
    one_process: bool = False
    tracked: bool = False
    options: tuple[str, ...] | None = None


LINEAR, ENCODER, SETFIT = "linear", "encoder", "setfit"

KINDS = {
    LINEAR: StudentKind(
        module="linear",
        method="TF-IDF of words and character n-grams, and logistic regression",
        one_process=True,
        options=("class_weights", "human_weight", "suspects_out"),
    ),
    ENCODER: StudentKind(
        module="finetune",
        method="all weights of {model} fine-tuned",
        library="transformers",
        balanced=False,
        tracked=True,
    ),
    "frozen": StudentKind(
        module="frozen",
        method="a logistic regression on the embeddings of {model}, whose weights are kept",
        suffix="frozen",
        library="sentence-transformers",
        one_process=True,
    ),
    SETFIT: StudentKind(
        module="setfit",
        method="{model} tuned with SetFit, and a logistic regression on its embeddings",
        suffix="setfit",
        model="sentence-transformers/paraphrase-mpnet-base-v2",
        library="sentence-transformers",
    ),
}
"""By name. ``--student MODEL`` without a suffix is a fine-tuned encoder."""
