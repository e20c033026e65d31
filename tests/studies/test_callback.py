from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from peft import LoraConfig, get_peft_model

import spectra
from spectra import SpectraCallback, compare
from spectra.update import Update
from tests.oracles import pico_model


def _trainer(model: Any, folder: Path, steps: int = 6) -> transformers.Trainer:
    rows = [{"input_ids": list(range(i, i + 8)), "labels": list(range(i, i + 8))} for i in range(2, 40)]
    args = transformers.TrainingArguments(
        output_dir=str(folder), max_steps=steps, per_device_train_batch_size=4, learning_rate=0.05, report_to="none",
        save_strategy="no", disable_tqdm=True, logging_strategy="no",
        dataloader_pin_memory=False,
    )  # fmt: skip
    trainer = transformers.Trainer(model=model, args=args, train_dataset=rows)
    trainer.remove_callback(transformers.PrinterCallback)
    return trainer


@pytest.mark.parametrize("lora", [False, True])
def test_it_logs_what_compare_finds(lora: bool, tmp_path: Path) -> None:
    model = pico_model("llama")
    if lora:
        model = get_peft_model(model, LoraConfig(r=2, target_modules=["q_proj", "up_proj"]))
    trainer = _trainer(model, tmp_path)
    callback = SpectraCallback(trainer, every=4, k=4, epsilon=0.9)
    trainer.add_callback(callback)
    trainer.train()
    logged = [entry for entry in trainer.state.log_history if "spectra/num_intruders" in entry]
    assert [entry["step"] for entry in logged] == [4, 6]  # every fourth, and the end
    result = compare(pico_model("llama"), model, k=4, epsilon=0.9)
    last = logged[-1]
    assert last["spectra/num_intruders"] == result.num_intruders > 0
    assert last["spectra/spike_ratio"] == pytest.approx(result.matrices["spike_ratio"].max(), rel=0.02)
    compared = result.matrices
    energy = sum(sum(row.singular_values[j] ** 2 for j in row.intruders) for row in compared.itertuples(index=False))
    assert last["spectra/intruder_energy_share"] > 0
    if not lora:
        whole = sum(float(torch.linalg.vector_norm(model.state_dict()[f"{n}.weight"])) ** 2 for n in compared["name"])
        assert last["spectra/intruder_energy_share"] == pytest.approx(energy / whole, rel=1e-3)


def test_chosen_steps_and_the_base_is_what_was_there_before(tmp_path: Path) -> None:
    model = pico_model("llama")
    trainer = _trainer(model, tmp_path)
    callback = SpectraCallback(trainer, steps=[1, 5])
    assert callback.measure() == dict.fromkeys(
        ["spectra/num_intruders", "spectra/intruder_energy_share", "spectra/spike_ratio"], 0
    )
    trainer.add_callback(callback)
    trainer.train()
    assert [e["step"] for e in trainer.state.log_history if "spectra/spike_ratio" in e] == [1, 5]


@pytest.mark.parametrize("shape", [(160, 128), (128, 160), (24, 40)])
def test_the_spike_of_a_full_rank_update_is_its_spectral_norm(shape: tuple[int, int]) -> None:
    W0, delta = (torch.randn(shape, generator=torch.Generator().manual_seed(i)) for i in range(2))
    found = Update(W0, W0 + delta)
    assert found.spectral_norm() == pytest.approx(float(torch.linalg.matrix_norm(delta, 2)), rel=2e-4)
    assert float(found.directions().s[0]) < 0.99 * found.spectral_norm()  # negative control: a sketch is not enough


def test_a_training_that_stops_early_is_logged_at_its_end(tmp_path: Path) -> None:
    class Stop(transformers.TrainerCallback):  # type: ignore[misc]  # untyped in transformers
        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            control.should_training_stop = state.global_step == 2

    trainer = _trainer(pico_model("llama"), tmp_path)
    trainer.add_callback(SpectraCallback(trainer))
    trainer.add_callback(Stop())
    trainer.train()
    assert [e["step"] for e in trainer.state.log_history if "spectra/spike_ratio" in e] == [2]


def test_training_goes_as_without_it(tmp_path: Path) -> None:
    models = [pico_model("llama") for _ in range(2)]
    for model, watched in zip(models, (False, True), strict=True):
        trainer = _trainer(model, tmp_path)
        if watched:
            trainer.add_callback(SpectraCallback(trainer, every=1))
        trainer.train()
    a, b = (model.state_dict() for model in models)
    assert all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_logged_as_such(value: float, tmp_path: Path) -> None:
    model = pico_model("llama")
    callback = SpectraCallback(_trainer(model, tmp_path))
    with torch.no_grad():
        model.model.layers[0].mlp.up_proj.weight[0, 0] = value
    assert all(math.isnan(number) for number in callback.measure().values())


def test_a_layer_that_begins_at_zero_has_no_spike_ratio(tmp_path: Path) -> None:
    model = pico_model("llama")
    with torch.no_grad():
        model.model.layers[0].mlp.up_proj.weight.zero_()
    callback = SpectraCallback(_trainer(model, tmp_path))
    with torch.no_grad():
        for layer in model.model.layers:
            layer.mlp.up_proj.weight += torch.randn_like(layer.mlp.up_proj.weight)
    found = callback.measure()
    assert 0 < found["spectra/spike_ratio"] < math.inf


def test_mistakes(tmp_path: Path) -> None:
    trainer = _trainer(pico_model("llama"), tmp_path)
    with pytest.raises(ValueError, match="every must be at least 1"):
        SpectraCallback(trainer, every=0)
    with pytest.raises(ValueError, match="epsilon is a cosine"):
        spectra.SpectraCallback(trainer, epsilon=2.0)
    with pytest.raises(spectra.SpectraError):  # before training, not at the first log
        SpectraCallback(trainer, include=["nothing"])
