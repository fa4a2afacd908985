"""What a row needs and what the machine gives: multiply-adds, the share of the machine's rate that is reached, where
the time goes, and how time and memory grow. Parts of `python -m benchmarks.speed`, which makes the `bench`.
"""

from dataclasses import replace

import matplotlib.pyplot as plt
import torch
import torch.nn.functional as F
from torch.profiler import ProfilerActivity, profile

from benchmarks.speed.measure import memory_watched, now, summary
from benchmarks.speed.systems import OnePass
from utils.engine.rows import plan_rows
from utils.record.fit import examples
from utils.report.colours import COLOURS
from utils.report.plots import DPI, FAINT, entitle
from utils.tasks.candidates import asked as questions_of

# ---- the limit -------------------------------------------------------------------------------------------------


def linear_shapes(config) -> list[tuple[int, int]]:
    """(inputs, outputs) of the linear layers of one layer of a Llama-like model."""
    hidden, inner = config.hidden_size, config.intermediate_size
    width = getattr(config, "head_dim", None) or hidden // config.num_attention_heads
    queries, keys = config.num_attention_heads * width, config.num_key_value_heads * width
    return [
        (hidden, queries),
        (hidden, keys),
        (hidden, keys),
        (queries, hidden),
        (hidden, inner),
        (hidden, inner),
        (inner, hidden),
    ]


def multiply_adds(config, lengths: list[int], kept: int, rank: int, training: bool) -> dict[str, int]:
    """Multiply-adds of the passes over rows of `lengths` tokens, of which `kept` go through the language-model head.

    A token and layer need inputs x outputs for every linear layer, and (inputs + outputs) x rank for its adapter.
    Attention over a row of n tokens needs 2 n^2 x (heads x width) a layer: queries by keys, weights by values; the
    mask spares nothing of it. The head needs hidden x vocabulary a kept token.

    Training adds the gradients: of the inputs, as much as forward again (frozen layers and head: 2 in all); of the
    adapters also that of the weights, and of attention that of both factors (3 in all).
    """
    shapes, tokens = linear_shapes(config), sum(lengths)
    found = {
        "layers": config.num_hidden_layers * tokens * sum(i * o for i, o in shapes),
        "adapters": config.num_hidden_layers * tokens * rank * sum(i + o for i, o in shapes),
        "attention": config.num_hidden_layers * 2 * shapes[0][1] * sum(n * n for n in lengths),
        "head": kept * config.hidden_size * config.vocab_size,
    }
    if training:
        found = {name: count * (3 if name in ("adapters", "attention") else 2) for name, count in found.items()}
    return found


def least_bytes(config, lengths: list[int], kept: int, size: int, training: bool) -> int:
    """Bytes that must go through memory at least: every pass reads all weights (`size` bytes each) once, and once more
    for the gradients; each kept token writes its logits (float32)."""
    weights = config.num_hidden_layers * sum(i * o for i, o in linear_shapes(config))
    weights += config.hidden_size * config.vocab_size
    return len(lengths) * weights * size * (2 if training else 1) + kept * config.vocab_size * 4


def matmul_rate(config, tokens: int, dtype, device, seconds: float = 1.0) -> float:
    """Multiply-adds a second that this machine reaches in a layer's linear products alone, for `tokens` rows."""
    products = [
        (torch.randn(tokens, i, dtype=dtype, device=device), torch.randn(o, i, dtype=dtype, device=device))
        for i, o in linear_shapes(config)
    ]
    rounds, best = 0, float("inf")
    begin = now()
    while rounds < 3 or now() - begin < seconds:
        start = now()
        for inputs, weights in products:
            F.linear(inputs, weights)
        best, rounds = min(best, now() - start), rounds + 1
    return tokens * sum(i * o for i, o in linear_shapes(config)) / best


def measure_limit(bench) -> dict:
    """What share of the machine's rate of products training and inference reach, and inference beside a plain pass."""
    row, tokenizer, task = OnePass(bench.config), bench.tokenizer, bench.tasks["emotion"]
    model = bench.labeller(row, "emotion")
    shape, device = model.config, model.device
    rate = matmul_rate(shape, bench.config.token_budget, model.dtype, device)
    found = {"products": {"tokens": bench.config.token_budget, "multiply_adds_a_second": rate}}

    def reached(seconds, lengths, kept, training):
        counts = multiply_adds(shape, lengths, kept, bench.config.lora_r, training)
        return {
            "seconds": seconds,
            "tokens": sum(lengths),
            "multiply_adds": counts,
            "bytes_at_least": least_bytes(shape, lengths, kept, model.dtype.itemsize, training),
            "share_of_rate": sum(counts.values()) / seconds / rate,
        }

    trees = row.inference_rows(tokenizer, task, bench.asked)
    kept = sum(len({i for question in tree.answers for answer in question for i, _ in answer}) for tree in trees)
    groups = plan_rows(list(map(len, trees)), bench.config.token_budget)
    lengths = [sum(len(trees[i]) for i in group) for group in groups]
    seconds = min(bench.label(row, "emotion", bench.asked)[0] for _ in range(3))
    found["inference"] = reached(seconds, lengths, kept, training=False)

    learner = bench.learner(row)
    bench.train_step(row, learner, "emotion", bench.step)
    seconds = min(bench.train_step(row, learner, "emotion", bench.step) for _ in range(2))
    rows = examples(task, bench.step, tokenizer, row.config)
    found["training"] = reached(seconds, list(map(len, rows)), sum(len(r.targets) for r in rows), training=True)

    c = bench.asked[len(bench.asked) // 2]
    tokens = torch.tensor([row.inference_rows(tokenizer, task, [c])[0].input_ids], device=device)
    times = {"emotions of a conversation": [], "plain pass": [], "plain pass, last position's logits alone": []}
    with torch.no_grad():
        for _ in range(5):
            times["emotions of a conversation"].append(bench.label(row, "emotion", [c])[0])
            for name, more in (("plain pass", {}), ("plain pass, last position's logits alone", {"logits_to_keep": 1})):
                start = now()
                model(input_ids=tokens, use_cache=False, **more)
                times[name].append(now() - start)
    found["beside a plain pass"] = {"tokens": tokens.shape[1], **{name: summary(one) for name, one in times.items()}}
    return found


def operations(bench) -> dict:
    """{what: {operation: share of the time}}: torch's profile of one step and of one labelling, the twelve dearest."""
    row, found = OnePass(bench.config), {}
    learner = bench.learner(row)
    work = {
        "training": lambda: bench.train_step(row, learner, "emotion", bench.step),
        "inference": lambda: bench.label(row, "emotion", bench.asked),
    }
    for name, run in work.items():
        run()
        with profile(activities=[ProfilerActivity.CPU]) as profiler:
            run()
        events = sorted(profiler.key_averages(), key=lambda event: -event.self_cpu_time_total)
        total = sum(event.self_cpu_time_total for event in events)
        found[name] = {event.key: round(event.self_cpu_time_total / total, 3) for event in events[:12]}
        print(name, *(f"  {share:6.1%}  {key}" for key, share in found[name].items()), sep="\n", flush=True)
    return found


# ---- growth ----------------------------------------------------------------------------------------------------


def long_conversation(conversations: list[dict], length: int) -> dict:
    """A conversation of `length` utterances, those of the given conversations one after the other."""
    utterances = [u for c in conversations for u in c["conversation"]]
    chosen = [utterances[k % len(utterances)] for k in range(length)]
    return {
        "conversation_ID": length,
        "emotion-cause_pairs": [],
        "conversation": [{**u, "utterance_ID": k + 1} for k, u in enumerate(chosen)],
    }


def measure_growth(bench, numbers=(1, 2, 4, 8), lengths=(5, 10, 20, 40, 80), asked=(1, 2, 4, 8, 16)) -> dict:
    """Seconds, tokens and peak memory of inference against the number of conversations (of 10 utterances, emotions),
    the length of one in utterances (emotions), and the number of questions in one of 20 utterances (causes)."""
    row, found = OnePass(bench.config), {"conversations": [], "utterances": [], "questions": []}
    row.config = replace(row.config, max_row_tokens=10**9)

    def point(what, number, task, conversations):
        measured = {"number": number, "tokens": row.inference_tokens(bench.tokenizer, bench.tasks[task], conversations)}
        with memory_watched(measured):
            measured["seconds"] = min(bench.label(row, task, conversations)[0] for _ in range(2))
        found[what].append(measured)
        print(f"growth, {what}: {measured}", flush=True)

    for task in ("emotion", "cause"):  # loads the models
        bench.label(row, task, bench.asked)
    ten, twenty = long_conversation(bench.asked, 10), long_conversation(bench.asked, 20)
    for number in numbers:
        point("conversations", number, "emotion", [{**ten, "conversation_ID": k} for k in range(number)])
    for emotional in asked:
        utterances = [
            {**u, "emotion": "joy" if k < emotional else "neutral"} for k, u in enumerate(twenty["conversation"])
        ]
        one = {**twenty, "conversation": utterances}
        point("questions", len(questions_of(one)), "cause", [one])
    for number in lengths:
        point("utterances", number, "emotion", [long_conversation(bench.asked, number)])
    return {**found, "mask_costs_from_tokens": doubled(found["utterances"])}


def doubled(points: list[dict]) -> float | None:
    """The number of tokens from which a token takes twice the time that it takes at best: from there on the dense mask,
    whose cost grows with the square, is the larger part. Between two points on a straight line; None: not reached."""
    pace = [(point["tokens"], point["seconds"] / point["tokens"]) for point in points]
    best = min(range(len(pace)), key=lambda k: pace[k][1])
    for (before, slow), (after, slower) in zip(pace[best:], pace[best + 1 :]):
        if slower >= 2 * pace[best][1]:
            return before + (after - before) * (2 * pace[best][1] - slow) / (slower - slow)
    return None


def growth_figure(growth: dict, about: str = ""):
    """Seconds against each of the three numbers, on axes that share their seconds. What memory did is in the titles:
    it hardly grows. `about`: model, machine and revision, for the line below the title."""
    figure, axes = plt.subplots(1, 3, figsize=(12, 4), dpi=DPI, layout="constrained", sharey=True)
    plt.close(figure)
    entitle(figure, "Time of labelling in one pass", about)
    titles = {
        "conversations": "emotions of conversations of 10 utterances",
        "utterances": "emotions of one conversation",
        "questions": "causes in one conversation of 20 utterances",
    }
    for ax, (what, title) in zip(axes, titles.items()):
        points = growth[what]
        numbers = [point["tokens" if what == "utterances" else "number"] for point in points]
        ax.plot(numbers, [point["seconds"] for point in points], "o-", color=COLOURS["sadness"])
        peaks = [point["peak_memory"] for point in points]
        memory = f"peak memory {min(peaks) / 2**30:.2f} to {max(peaks) / 2**30:.2f} GiB" if all(peaks) else ""
        ax.set_title("\n".join(filter(None, [title, memory])), loc="left", color=FAINT, fontsize=9)
        ax.set(xlabel=f"number of {what}" if what != "utterances" else "its tokens")
        ax.set_xlim(left=0)
        ax.spines[["top", "right"]].set_visible(False)
    axes[0].set_ylabel("seconds")
    axes[0].set_ylim(bottom=0)
    if growth["mask_costs_from_tokens"]:
        axes[1].axvline(growth["mask_costs_from_tokens"], color=COLOURS["neutral"], linestyle=":")
    return figure
