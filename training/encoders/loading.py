"""Models and tokenizers from the Hub or a path: safetensors only, no remote code."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from tutelage.core.errors import StudentError

SAFE = {"trust_remote_code": False, "use_safetensors": True}
"""How every model is loaded: no remote code, no pickle."""

LOADING_ERRORS = (OSError, ValueError, LookupError, ImportError, TypeError, AttributeError, RuntimeError)
"""What transformers raises when a model or its tokenizer cannot be loaded."""


def silence_transformers() -> None:
    """No progress bars, and no warning about the weights of a new head, which are expected."""
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()


def load_classifier(
    name: str, config: Mapping[str, Any] | None = None, *, local_files_only: bool = False
) -> tuple[Any, Any]:
    """A sequence classifier and its tokenizer; ``config`` changes the model's configuration.

    Raises
    ------
    StudentError
        When the model does not take token ids and an attention mask, or there is no token to pad with.
    LOADING_ERRORS
        When it cannot be loaded.
    """
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    silence_transformers()
    model = AutoModelForSequenceClassification.from_pretrained(
        name, local_files_only=local_files_only, **(config or {}), **SAFE
    )
    tokenizer = AutoTokenizer.from_pretrained(name, local_files_only=local_files_only, trust_remote_code=False)
    _check_inputs(name, model)
    make_ready(name, tokenizer, model.config)
    return model, tokenizer


def make_ready(name: str, tokenizer: Any, config: Any) -> None:
    """Give the tokenizer a token to pad with, tell the model's configuration, and leave token types out.

    Decoders have often none and pad with the end of a text. With a single text, token types say nothing:
    models take 0 where they are left out.
    """
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token or tokenizer.unk_token
    if tokenizer.pad_token is None:
        raise StudentError(f"--student {name}: its tokenizer has no pad_token; add one to its tokenizer_config.json")
    if config.get_text_config().pad_token_id is None:
        config.get_text_config().pad_token_id = tokenizer.pad_token_id
    tokenizer.model_input_names = [part for part in tokenizer.model_input_names if part != "token_type_ids"]


def _check_inputs(name: str, model: Any) -> None:
    missing = {"input_ids", "attention_mask"} - set(inspect.signature(model.forward).parameters)
    if missing:
        raise StudentError(
            f"--student {name}: a model of the kind {model.config.model_type} takes no {min(missing)}, so texts"
            " cannot be computed in batches; choose another model"
        )


def cannot_load(name: str, error: Exception) -> StudentError:
    """The error for a model that is neither on the Hub nor on disk."""
    reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return StudentError(
        f"--student {name}: cannot be loaded: {reason} Use the Hub name or the path of an encoder with safetensors,"
        " or --student linear, which needs no download."
    )


def usable_length(config: Any, tokenizer: Any, max_length: int) -> int:
    """The model's maximum number of tokens, at most ``max_length``; some start positions at 2, some have no limit."""
    try:
        positions = getattr(config, "max_position_embeddings", -1)
    except NotImplementedError:  # XLNet's answer
        positions = -1
    return int(min(max_length, tokenizer.model_max_length, positions - 2 if positions > 0 else max_length))
