"""A real, tiny language model in this process: chat template, sampling, batches."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from tutelage.core.errors import TeacherError
from tutelage.core.records import Record
from tutelage.core.teachers import Teacher
from tutelage.core.workspace import Workspace
from tutelage.loaders.ledger import Ledger
from tutelage.loaders.models.local import LocalModel
from tutelage.loaders.models.model import Refused, Reply, Request
from tutelage.loaders.teacher.session import Session

pytest.importorskip("torch")
pytest.importorskip("transformers")

TEMPLATE = (
    "{% for m in messages %}<user> {{ m['content'] }} {% endfor %}{% if add_generation_prompt %}<answer>{% endif %}"
)
WORDS = ["<pad>", "<end>", "<user>", "<answer>", "good", "bad", "so", "text", "what", "of", "it", "is", "<unk>"]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    """An untrained Llama of a few thousand weights with a vocabulary of a dozen words."""
    import torch
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import WhitespaceSplit
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("model")
    words = Tokenizer(WordLevel({word: n for n, word in enumerate(WORDS)}, unk_token="<unk>"))
    words.pre_tokenizer = WhitespaceSplit()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=words, pad_token="<pad>", eos_token="<end>", unk_token="<unk>", chat_template=TEMPLATE
    )
    tokenizer.save_pretrained(folder)
    torch.manual_seed(3)
    config = LlamaConfig(
        vocab_size=len(WORDS), hidden_size=32, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=2, max_position_embeddings=256, pad_token_id=0, eos_token_id=1, bos_token_id=None,
        initializer_range=1.0,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(folder)
    return str(folder)


def teacher(model: str, **local: Any) -> Teacher:
    data = {"name": "t", "license": "none", "model": model, "engine": "transformers", "local": local}
    return Teacher.model_validate(data)


def ask(who: Teacher, requests: Sequence[Request], seen: list[int] | None = None) -> list[Reply]:
    async def run() -> list[Reply]:
        local = LocalModel(who)
        write = local._generate

        def counted(batch: Any) -> Any:
            if seen is not None:
                seen.append(len(batch))
            return write(batch)

        local._generate = counted  # type: ignore[method-assign]
        try:
            return list(await asyncio.gather(*map(local.answer, requests)))
        finally:
            await local.close()

    return asyncio.run(run())


def request(prompt: str, temperature: float = 0.0, most: int = 8) -> Request:
    return Request(prompt=prompt, parameters={"temperature": temperature, "max_tokens": most})


def test_a_batch_writes_what_single_calls_write(model: str) -> None:
    prompts = ["what of it", "text", "is it so so so so bad or what is it", "good good"]
    seen: list[int] = []
    together = ask(teacher(model, batch=4), [request(p) for p in prompts], seen)
    alone = [ask(teacher(model), [request(p)])[0] for p in prompts]
    assert seen == [4]
    assert [reply.text for reply in together] == [reply.text for reply in alone]
    assert [reply.tokens_out for reply in together] == [reply.tokens_out for reply in alone]
    assert len({reply.text for reply in alone}) > 1


def test_the_models_chat_template_is_applied_and_only_the_answer_is_read(model: str) -> None:
    reply = ask(teacher(model), [request("text text", most=3)])[0]
    assert reply.tokens_in == 4  # <user> text text <answer>
    assert not reply.text.startswith("<user> text text")
    assert len(reply.text.split()) <= 3


def test_votes_are_sampled_in_one_batch_and_a_seed_repeats_them(model: str) -> None:
    votes, seen = [request("what is it", 3.0)] * 6, list[int]()
    first = [reply.text for reply in ask(teacher(model, batch=6, seed=1), votes, seen)]
    assert seen == [6]
    assert len(set(first)) > 1
    assert [reply.text for reply in ask(teacher(model, batch=6, seed=1), votes)] == first
    assert [reply.text for reply in ask(teacher(model, batch=6, seed=2), votes)] != first


def test_votes_with_other_parameters_wait_for_a_batch_of_their_own(model: str) -> None:
    seen: list[int] = []
    replies = ask(teacher(model, batch=8), [request("it", 0.0), request("it", 2.0), request("it", 0.0)], seen)
    assert sorted(seen) == [1, 2]
    assert replies[0].text == replies[2].text


def test_an_answer_that_reaches_its_length_says_so(model: str) -> None:
    replies = ask(teacher(model), [request("what is it", 3.0, most=40)] * 8 + [request("it", most=1)])
    assert all((reply.tokens_out == 40) for reply in replies[:8] if reply.finish == "length")
    assert {reply.finish for reply in replies} == {"stop", "length"}


def test_a_text_too_long_for_the_model_is_refused(model: str) -> None:
    with pytest.raises(Refused, match="do not fit into the model's context of 256"):
        ask(teacher(model), [request("so " * 300)])


def test_a_model_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(TeacherError, match="cannot be loaded"):
        ask(teacher(str(tmp_path / "gone")), [request("it")])


def test_a_run_with_a_model_in_process_keeps_its_votes(model: str, make_task: Callable[..., Workspace]) -> None:
    keys = {"name": "t", "license": "none", "model": model, "engine": "transformers", "prompts": ["mine"]}
    keys |= {"temperature": 2.0, "max_tokens": 6, "prompts": [{"name": "mine", "file": "mine.j2"}], "votes": 2}
    workspace = make_task(["good", "bad"], teachers=[keys])
    (workspace.root / "mine.j2").write_text("what is {{ text }}", "utf-8")
    with Ledger(workspace.db) as ledger:
        ledger.add([Record(f"r{n}", f"text {n}") for n in range(5)])
    done = Session.of(workspace).run()
    assert (done.votes, done.records, done.unanswered) == (10, 5, 0)
    with Ledger(workspace.db) as ledger:
        records = list(ledger.records(workspace.task))
    assert all(len(record.votes) == 2 for record in records)
    assert json.dumps(done.rungs)


@pytest.mark.parametrize("what", ["pickled weights", "code of its own"])
def test_a_model_that_could_run_code_is_not_loaded(model: str, tmp_path: Path, what: str) -> None:
    import torch
    from safetensors.torch import load_file

    folder = tmp_path / "model"
    shutil.copytree(model, folder)
    if what == "pickled weights":
        torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
        (folder / "model.safetensors").unlink()
    else:
        config = json.loads((folder / "config.json").read_text("utf-8"))
        config |= {
            "model_type": "other",
            "auto_map": {"AutoConfig": "code.Config", "AutoModelForCausalLM": "code.Model"},
        }
        (folder / "config.json").write_text(json.dumps(config), "utf-8")
        (folder / "code.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\nclass Config: pass\n", "utf-8")

    async def load() -> None:
        LocalModel(teacher(str(folder)))

    with pytest.raises(TeacherError, match="cannot be loaded"):
        asyncio.run(load())
    assert not (tmp_path / "ran").exists()
