"""Tiny models of random weights, one of each family that people name: real files, no download."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

VOCABULARY = 400


@dataclass(frozen=True, kw_only=True)
class Family:
    """One family: its ``model_type``, the class and the algorithm of its tokenizer, and keys of its configuration."""

    kind: str
    tokenizer: str
    pieces: str
    config: dict[str, Any] = field(default_factory=dict)
    special: dict[str, str] = field(default_factory=dict)


_SMALL = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "max_position_embeddings": 98,
    "initializer_range": 0.2,
}
_BERT = {"cls_token": "[CLS]", "sep_token": "[SEP]", "pad_token": "[PAD]", "unk_token": "[UNK]", "mask_token": "[MASK]"}
_ROBERTA = {"bos_token": "<s>", "pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>", "mask_token": "<mask>"}
_DEBERTA = {"relative_attention": True, "position_biased_input": False, "type_vocab_size": 0, "pad_token_id": 0}
_XLNET = {"d_model": 32, "n_layer": 2, "n_head": 4, "d_inner": 64}
_END = {"eos_token": "<|endoftext|>"}

FAMILIES = {
    family.kind: family
    for family in (
        Family(kind="bert", tokenizer="BertTokenizer", pieces="words", special=_BERT),
        Family(kind="distilbert", tokenizer="BertTokenizer", pieces="words", special=_BERT),
        Family(kind="electra", tokenizer="BertTokenizer", pieces="words", special=_BERT),
        Family(kind="mpnet", tokenizer="MPNetTokenizer", pieces="words", special={**_ROBERTA, "unk_token": "[UNK]"}),
        Family(kind="roberta", tokenizer="RobertaTokenizer", pieces="bytes", special=_ROBERTA),
        Family(
            kind="longformer",
            tokenizer="RobertaTokenizer",
            pieces="bytes",
            special=_ROBERTA,
            config={"attention_window": [16, 16]},
        ),
        Family(
            kind="bart",
            tokenizer="RobertaTokenizer",
            pieces="bytes",
            special=_ROBERTA,
            config={
                "d_model": 32,
                "encoder_layers": 2,
                "decoder_layers": 2,
                "encoder_attention_heads": 4,
                "decoder_attention_heads": 4,
                "encoder_ffn_dim": 64,
                "decoder_ffn_dim": 64,
            },
        ),
        Family(kind="deberta", tokenizer="DebertaTokenizer", pieces="bytes", special=_BERT, config=_DEBERTA),
        Family(
            kind="modernbert",
            tokenizer="PreTrainedTokenizerFast",
            pieces="bytes",
            special=_BERT,
            config={"local_attention": 16, "global_attn_every_n_layers": 2},
        ),
        Family(
            kind="deberta-v2",
            tokenizer="DebertaV2Tokenizer",
            pieces="unigrams",
            special=_BERT,
            config={**_DEBERTA, "norm_rel_ebd": "layer_norm", "share_att_key": True, "pos_att_type": ["p2c", "c2p"]}
            | {"position_buckets": 8, "max_relative_positions": -1},
        ),
        Family(kind="xlm-roberta", tokenizer="XLMRobertaTokenizer", pieces="unigrams", special=_ROBERTA),
        Family(kind="camembert", tokenizer="CamembertTokenizer", pieces="unigrams", special=_ROBERTA),
        Family(
            kind="albert",
            tokenizer="AlbertTokenizer",
            pieces="unigrams",
            special={**_BERT, "unk_token": "<unk>", "pad_token": "<pad>"},
        ),
        Family(
            kind="xlnet",
            tokenizer="XLNetTokenizer",
            pieces="unigrams",
            special={**_ROBERTA, "sep_token": "<sep>", "cls_token": "<cls>"},
            config=_XLNET,
        ),
        Family(
            kind="t5",
            tokenizer="T5Tokenizer",
            pieces="unigrams",
            special={"pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"},
            config={"d_kv": 8, "d_ff": 64, "d_model": 32, "num_layers": 2, "num_heads": 4, "decoder_start_token_id": 0},
        ),
        Family(kind="gpt2", tokenizer="GPT2Tokenizer", pieces="bytes", special=_END),
        Family(kind="qwen2", tokenizer="Qwen2Tokenizer", pieces="bytes", special=_END),
        Family(kind="qwen3", tokenizer="Qwen2Tokenizer", pieces="bytes", special=_END, config={"head_dim": 8}),
        Family(
            kind="llama",
            tokenizer="PreTrainedTokenizerFast",
            pieces="bytes",
            special={"bos_token": "<s>", "eos_token": "</s>"},
        ),
        Family(
            kind="gemma3_text",
            tokenizer="PreTrainedTokenizerFast",
            pieces="bytes",
            special={"bos_token": "<bos>", "eos_token": "<eos>", "pad_token": "<pad>"},
            config={"head_dim": 8},
        ),
    )
}
"""By ``model_type``."""


def tiny_model(kind: str, path: Path, texts: Sequence[str], **config: Any) -> Path:
    """A model of this family with a tokenizer of these texts."""
    import torch
    from transformers import AutoConfig, AutoModel

    family = FAMILIES[kind]
    tokenizer = _tokenizer(family, texts)
    path.mkdir(parents=True, exist_ok=True)
    tokenizer.save_pretrained(path)
    ids = {f"{name}_id": getattr(tokenizer, f"{name}_id") for name in ("pad_token", "bos_token", "eos_token")}
    ids = {name: number for name, number in ids.items() if number is not None}
    size = {"vocab_size": len(tokenizer), **_SMALL, **ids, **family.config, **config}
    if kind == "xlnet":
        del size["max_position_embeddings"]  # it has no limit, and refuses one
    if kind in {"qwen2", "qwen3", "llama", "gemma3_text"}:
        size["num_key_value_heads"] = 2
    torch.manual_seed(0)
    AutoModel.from_config(AutoConfig.for_model(kind, **size)).save_pretrained(path)
    return path


def _tokenizer(family: Family, texts: Sequence[str]) -> Any:
    import transformers

    trained = _trained(family.pieces, list(dict.fromkeys(family.special.values())), texts)
    of_family = getattr(transformers, family.tokenizer)
    if family.tokenizer == "PreTrainedTokenizerFast":
        _with_first_and_last(trained, family)
        return of_family(tokenizer_object=trained, **family.special)
    return of_family(**_vocabulary(trained), **family.special)


def _vocabulary(trained: Any) -> dict[str, Any]:
    import json

    model = json.loads(trained.to_str())["model"]
    if model["type"] == "Unigram":
        return {"vocab": [(piece, score) for piece, score in model["vocab"]]}
    merges = {"merges": [tuple(pair) for pair in model["merges"]]} if model["type"] == "BPE" else {}
    return {"vocab": model["vocab"], **merges}


def _trained(pieces: str, special: list[str], texts: Sequence[str]) -> Any:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    options = {"vocab_size": VOCABULARY, "special_tokens": special, "show_progress": False}
    if pieces == "words":
        tokenizer, trainer = Tokenizer(models.WordPiece(unk_token="[UNK]")), trainers.WordPieceTrainer(**options)
        tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    elif pieces == "bytes":
        alphabet = pre_tokenizers.ByteLevel.alphabet()
        tokenizer, trainer = Tokenizer(models.BPE()), trainers.BpeTrainer(initial_alphabet=alphabet, **options)
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        tokenizer.decoder = decoders.ByteLevel()
    else:
        unknown = next(token for token in special if "unk" in token.lower())
        tokenizer, trainer = Tokenizer(models.Unigram()), trainers.UnigramTrainer(unk_token=unknown, **options)
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def _with_first_and_last(tokenizer: Any, family: Family) -> None:
    """The special tokens that a text begins and ends with: ``[CLS]`` and ``[SEP]``, or only the first of a decoder."""
    from tokenizers.processors import TemplateProcessing

    special = family.special
    first, last = special.get("cls_token", special.get("bos_token")), special.get("sep_token")
    template = f"{first} $A {last}" if last else f"{first} $A"
    ids = [(token, tokenizer.token_to_id(token)) for token in (first, last) if token]
    tokenizer.post_processor = TemplateProcessing(single=template, special_tokens=ids)


def sentencepiece_only(path: Path, texts: Sequence[str]) -> Path:
    """A DeBERTa-v3 as its authors publish it: a ``spm.model`` and no ``tokenizer.json``."""
    import json

    import sentencepiece

    tiny_model("deberta-v2", path, texts)
    for file in path.glob("*token*"):
        file.unlink()
    (path / "texts.txt").write_text("\n".join(texts), "utf-8")
    sentencepiece.SentencePieceTrainer.train(
        input=str(path / "texts.txt"),
        model_prefix=str(path / "spm"),
        vocab_size=200,
        pad_id=0,
        pad_piece="[PAD]",
        bos_id=1,
        bos_piece="[CLS]",
        eos_id=2,
        eos_piece="[SEP]",
        unk_id=3,
        unk_piece="[UNK]",
        user_defined_symbols="[MASK]",
        minloglevel=2,
        hard_vocab_limit=False,
    )
    (path / "tokenizer_config.json").write_text(json.dumps({"do_lower_case": False, "vocab_type": "spm"}), "utf-8")
    return path
