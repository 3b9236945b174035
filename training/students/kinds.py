"""The kinds of students: a new one is a module in this folder and an entry in this table."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class StudentKind:
    """What is particular to one kind of student.

    Parameters
    ----------
    module
        The module here that has ``fit`` (a training set to a student) and ``load`` (a folder to a student).
    method
        How it learns, for the model card; ``{model}`` is the model that it starts from.
    suffix
        What ``--student MODEL:SUFFIX`` ends with; empty for a kind that is not named so.
    model
        The model that it starts from where none is named.
    library
        The library that loads it from the Hub; empty where only tutelage does.
    balanced
        Whether each label weighs the same in sum unless the user says otherwise.
    one_process
        Whether it trains in one process even where several were started.
    options
        The options of ``train`` that change it; None for all.
    """

    module: str
    method: str
    suffix: str = ""
    model: str = ""
    library: str = ""
    balanced: bool = True
    one_process: bool = False
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
        module="finetune", method="all weights of {model} fine-tuned", library="transformers", balanced=False
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
"""By name. What ``--student`` names is an encoder whose weights are all fine-tuned, unless it is one of the others."""
