"""What `SpectraCallback` costs a training run at its default interval: its time against that of the steps between."""

from __future__ import annotations

import statistics
import tempfile
import time
from typing import Any

import transformers

from spectra import SpectraCallback
from spectra.demo.setting import recipe_for
from spectra.trainer.evaluating import collator, encode
from spectra.trainer.loading import load_for_task, load_tokenizer, model_directory, quiet_libraries
from spectra.trainer.methods import prepare
from spectra.trainer.tasks import load_task

STEPS = 24


def callback() -> list[dict[str, Any]]:
    """Measure, print and return, for full tuning and LoRA of the demo's encoder, at 20 and at 128 tokens."""
    found = []
    for method, length in (("full", 20), ("lora", 20), ("lora", 128)):
        recipe = recipe_for(method, 8, 1e-3).replace(max_length=length)
        task = load_task(recipe)
        with quiet_libraries(), tempfile.TemporaryDirectory() as folder:
            directory = model_directory(recipe.base)
            tokenizer = load_tokenizer(directory)
            model = prepare(load_for_task(directory, task, tokenizer), recipe)
            args = transformers.TrainingArguments(
                output_dir=folder, max_steps=STEPS, per_device_train_batch_size=16, learning_rate=1e-3,
                report_to="none", save_strategy="no", disable_tqdm=True, dataloader_pin_memory=False,
            )  # fmt: skip
            rows = encode(task.train[:512], task, tokenizer, recipe)
            for row in rows.rows:  # all of one length, the longest
                missing = length - len(row["input_ids"])
                row |= {key: (value + [value[-2]] * missing) for key, value in row.items() if key != "labels"}
            trainer: Any = transformers.Trainer(
                model=model, args=args, train_dataset=rows, data_collator=collator(tokenizer, task)
            )
            trainer.remove_callback(transformers.PrinterCallback)
            watch = SpectraCallback(trainer)
            trainer.train(), watch.measure()  # warm: the first decomposes the base
            started = time.perf_counter()
            trainer.train()
            step = (time.perf_counter() - started) / STEPS
            times = []
            for _ in range(5):
                started = time.perf_counter()
                watch.measure()
                times.append(time.perf_counter() - started)
        measure = statistics.median(times)
        share = measure / (watch.every * step)
        found.append({"method": method, "tokens": length, "step": step, "measure": measure, "share": share})
        every = f"{share:.1%} at every {watch.every} steps"
        print(f"{method}, {length} tokens: a step {step:.3f} s, a measurement {measure:.3f} s, {every}", flush=True)
    return found
