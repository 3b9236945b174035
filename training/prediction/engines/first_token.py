"""Skips the other tokens in the last layer of a classifier that reads the first token only.

Of the last layer, keys and values of all tokens remain; the rest, ten twelfths of its multiplications, is skipped.
The logits are the same up to rounding.
"""

from __future__ import annotations

from typing import Any

import torch

MODEL_TYPES = frozenset({"bert", "camembert", "electra", "roberta", "xlm-roberta"})
"""Models with BERT's layers whose classifier reads the first token."""


def first_token_only(model: Any) -> None:
    """Change a sequence classification model in place, where its kind is known; others stay as they are."""
    config = model.config
    attention = config._attn_implementation  # noqa: SLF001  # transformers tells it nowhere else
    if config.model_type in MODEL_TYPES and not config.is_decoder and attention in {"sdpa", "eager"}:
        layers = model.base_model.encoder.layer
        layers[-1] = _FirstToken(layers[-1])


class _FirstToken(torch.nn.Module):  # type: ignore[misc]  # torch is not followed by mypy
    """A layer like BERT's; its output of shape (B, 1, H) is that of the first token."""

    def __init__(self, layer: Any) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, states: Any, attention_mask: Any = None, *_others: Any, **_options: Any) -> Any:
        """From states of shape (B, T, H), and a mask of shape (B, 1, T or 1, T) or None for no padding."""
        attention, first = self.layer.attention, states[:, :1].contiguous()
        own = attention.self
        query, key, value = (
            part.unflatten(-1, (own.num_attention_heads, own.attention_head_size)).transpose(1, 2)
            for part in (own.query(first), own.key(states), own.value(states))
        )
        mask = None if attention_mask is None else attention_mask[:, :, :1]
        seen = torch.nn.functional.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        return self.layer.feed_forward_chunk(attention.output(seen.transpose(1, 2).flatten(2), first))
