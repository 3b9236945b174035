"""A model that runs in this process, through ``transformers``."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

from tutelage.core.errors import TeacherError
from tutelage.core.teachers import Teacher
from tutelage.loaders.models.model import OVERFLOW, Keep, Refused, Reply, Request, not_kept
from tutelage.loaders.models.wire import body_of, read_reply

_SAMPLING = {"temperature": "temperature", "top_p": "top_p", "max_tokens": "max_new_tokens"}


class _Pending(NamedTuple):
    tokens: list[int]
    options: dict[str, Any]
    reply: asyncio.Future[Reply]


class LocalModel:
    """Generates the answers to concurrent requests in batches.

    Create it inside the running event loop; the model runs in a thread of its own.
    """

    def __init__(self, teacher: Teacher) -> None:
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer, set_seed
        from transformers.utils import logging

        if not sys.stderr.isatty():
            logging.disable_progress_bar()
        self._torch, self._batch = torch, teacher.local.batch
        self._device = _device(teacher.local.device)
        try:
            self._tokenizer = AutoTokenizer.from_pretrained(teacher.model, padding_side="left", trust_remote_code=False)
            model = AutoModelForCausalLM.from_pretrained(
                teacher.model, dtype=_dtype(teacher.local.dtype), trust_remote_code=False, use_safetensors=True
            )
            self._model = model.to(self._device).eval()
        except (OSError, ValueError, RuntimeError) as error:  # not found, unsupported model, out of memory
            raise TeacherError(f"teacher {teacher.name!r}: model {teacher.model!r} cannot be loaded: {error}") from None
        if self._tokenizer.pad_token_id is None:
            self._tokenizer.pad_token = self._tokenizer.eos_token
        set_seed(teacher.local.seed)
        self._queue: asyncio.Queue[_Pending] = asyncio.Queue()
        self._worker = asyncio.create_task(self._work())

    async def answer(self, request: Request, keep: Keep = not_kept) -> Reply:
        """The model's answer; uses the model's chat template, where it has one."""
        tokens, options = self._tokens(request), _options(request.parameters)
        longest = getattr(self._model.config, "max_position_embeddings", None)
        if longest and len(tokens) + options["max_new_tokens"] > longest:
            raise Refused(
                OVERFLOW, f"{len(tokens)} tokens and the answer do not fit into the model's context of {longest}"
            )
        reply: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        await self._queue.put(_Pending(tokens, options, reply))
        body = body_of(await reply)
        keep(body, "")
        return read_reply(body)

    async def close(self) -> None:
        """Stop the worker."""
        self._worker.cancel()
        with suppress(asyncio.CancelledError):
            await self._worker

    def _tokens(self, request: Request) -> list[int]:
        if self._tokenizer.chat_template is None:
            return list(self._tokenizer(request.prompt)["input_ids"])
        encoded = self._tokenizer.apply_chat_template(request.messages, add_generation_prompt=True, return_dict=True)
        return list(encoded["input_ids"])

    async def _work(self) -> None:
        while True:
            batch = await self._next_batch()
            try:
                replies = await asyncio.to_thread(self._generate, batch)
            except Exception as error:  # such as out of memory: the callers get it
                failure = TeacherError(f"generation failed: {error}; try a smaller local.batch")
                for pending in batch:
                    _settle(pending.reply, failure)
            else:
                for pending, reply in zip(batch, replies, strict=True):
                    _settle(pending.reply, reply)

    async def _next_batch(self) -> list[_Pending]:
        """The pending requests, up to the batch size; those with other options wait for the next batch."""
        batch, later = [await self._queue.get()], list[_Pending]()
        await asyncio.sleep(0)  # let concurrent callers enqueue first
        while len(batch) < self._batch and not self._queue.empty():
            pending = self._queue.get_nowait()
            (batch if pending.options == batch[0].options else later).append(pending)
        for pending in later:
            self._queue.put_nowait(pending)
        return batch

    def _generate(self, batch: Sequence[_Pending]) -> list[Reply]:
        padded = self._tokenizer.pad({"input_ids": [pending.tokens for pending in batch]}, return_tensors="pt")
        inputs = {name: padded[name].to(self._device) for name in ("input_ids", "attention_mask")}
        with self._torch.inference_mode():
            generated = self._model.generate(**inputs, **batch[0].options, pad_token_id=self._tokenizer.pad_token_id)
        answers = generated[:, inputs["input_ids"].shape[1] :].tolist()
        return [self._reply(pending, answer) for pending, answer in zip(batch, answers, strict=True)]

    def _reply(self, pending: _Pending, answer: list[int]) -> Reply:
        ends = _ends(self._model.generation_config.eos_token_id) | {self._tokenizer.eos_token_id}
        length = next((at for at, token in enumerate(answer) if token in ends), None)
        text = self._tokenizer.decode(answer[:length], skip_special_tokens=True)
        finish = "length" if length is None else "stop"
        tokens_out = len(answer) if length is None else length + 1
        return Reply(text=text, finish=finish, tokens_in=len(pending.tokens), tokens_out=tokens_out)


def _options(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """OpenAI's parameters as arguments of ``generate``; no temperature, or 0, means greedy decoding."""
    options = {theirs: parameters[ours] for ours, theirs in _SAMPLING.items() if ours in parameters}
    if parameters.get("temperature"):
        return {**options, "do_sample": True}
    return {
        "max_new_tokens": options["max_new_tokens"],
        "do_sample": False,
        "temperature": None,
        "top_p": None,
        "top_k": None,
    }


def _ends(token_ids: int | list[int] | None) -> set[int | None]:
    return set(token_ids) if isinstance(token_ids, list) else {token_ids}


def _settle(future: asyncio.Future[Reply], outcome: Reply | Exception) -> None:
    if future.done():  # the caller was cancelled
        return
    if isinstance(outcome, Reply):
        future.set_result(outcome)
    else:
        future.set_exception(outcome)


def _device(name: str) -> str:
    import torch

    if name != "auto":
        return name
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def _dtype(name: str) -> Any:
    import torch

    return name if name == "auto" else getattr(torch, name)
