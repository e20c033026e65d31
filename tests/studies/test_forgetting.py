from __future__ import annotations

from pathlib import Path

import pytest
import torch
import transformers
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM

from spectra import CheckpointError, RecipeError, SpectraError, Study, forgetting
from spectra.studies.forgetting import Reference, objective_of
from spectra.studies.objectives import causal_losses
from spectra.trainer.loading import most_tokens
from tests.oracles import pico_model, randomise_adapter


def _adapter(base: Path, target: str, path: Path) -> Path:
    adapted = get_peft_model(
        AutoModelForCausalLM.from_pretrained(base), LoraConfig(r=2, target_modules=[target], task_type="CAUSAL_LM")
    )
    randomise_adapter(adapted, std=0.5)
    adapted.save_pretrained(path)
    return path


@pytest.mark.parametrize(("kind", "objective"), [("llama", "causal"), ("mlm", "masked"), ("bert", "contrastive")])
def test_the_untouched_base_has_forgotten_nothing(pico: dict[str, Path], text: Path, kind: str, objective: str) -> None:
    asked = "auto" if kind != "bert" else objective
    study = forgetting(pico[kind], pico[kind], text, objective=asked, num_sequences=8, length=12)
    base, same = study.table.to_dict("records")
    assert same["rise"] == 0.0
    assert same["loss"] == base["loss"]
    assert study.provenance["objective"] == objective


def test_an_adapters_rise_is_that_of_the_merged_model(pico: dict[str, Path], text: Path, tmp_path: Path) -> None:
    adapter = _adapter(pico["llama"], "up_proj", tmp_path / "adapter")
    study = forgetting(pico["llama"], [adapter, pico["llama"]], text, num_sequences=8, length=12)
    reference = Reference(pico["llama"], text, num_sequences=8, length=12)
    from peft import PeftModel

    merged = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(pico["llama"]), adapter).merge_and_unload()
    expected = causal_losses(merged.eval(), reference._sequences, 16).mean
    assert study.table["loss"][1] == pytest.approx(expected, abs=1e-5)
    assert study.table["rise"][1] == pytest.approx(expected - reference.base_losses.mean, abs=1e-5)
    assert study.table["rise"][2] == 0.0  # the adapter before it has left no trace


def test_the_baseline_is_the_base_and_not_a_fresh_adapter(pico: dict[str, Path], text: Path, tmp_path: Path) -> None:
    study = forgetting(pico["llama"], pico["llama"], text, num_sequences=8, length=12)
    reference = Reference(pico["llama"], text, num_sequences=8, length=12)
    plain = AutoModelForCausalLM.from_pretrained(pico["llama"]).eval()
    assert study.table["loss"][0] == pytest.approx(causal_losses(plain, reference._sequences, 16).mean, abs=1e-6)
    # The known mistake: a baseline measured on a model with a newly initialised adapter.
    torch.manual_seed(0)
    config = LoraConfig(r=2, target_modules=["up_proj"], init_lora_weights=False)
    fresh = get_peft_model(AutoModelForCausalLM.from_pretrained(pico["llama"]), config).eval()
    assert study.table["loss"][0] != pytest.approx(causal_losses(fresh, reference._sequences, 16).mean, abs=1e-6)


def test_a_tuned_classifiers_body_is_measured_under_the_bases_own_head(
    pico: dict[str, Path], text: Path, tmp_path: Path
) -> None:
    pico_model("bert", seed=3, classes=2).save_pretrained(tmp_path / "classifier")
    study = forgetting(pico["mlm"], tmp_path / "classifier", text, num_sequences=4, length=12)
    assert study.table["rise"][1] != 0


def test_text_from_a_data_file_and_from_the_model_itself(pico: dict[str, Path], tmp_path: Path, text: Path) -> None:
    own = forgetting(pico["gpt2"], pico["gpt2"], "self", num_sequences=4, length=12)
    again = forgetting(pico["gpt2"], pico["gpt2"], "self", num_sequences=4, length=12)
    assert own.table["loss"][0] == again.table["loss"][0]
    labelled = forgetting(pico["gpt2"], pico["gpt2"], pico["labelled"], num_sequences=4, length=12)
    assert labelled.table["num_predictions"][0] > 0


def test_it_is_saved_and_read_back(pico: dict[str, Path], text: Path, tmp_path: Path) -> None:
    study = forgetting(pico["llama"], pico["llama"], text, num_sequences=4, length=12)
    for suffix in ("json", "parquet"):
        study.write(tmp_path / f"f.{suffix}")
        back = Study.read(tmp_path / f"f.{suffix}")
        assert back.table.equals(study.table)
        assert (back.kind, back.provenance) == (study.kind, study.provenance)


def test_mistakes_are_one_sentence(pico: dict[str, Path], text: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no language model; choose --objective"):
        forgetting(pico["bert"], pico["bert"], text)
    with pytest.raises(CheckpointError, match=r"has no cls.*so it is no masked language model"):
        forgetting(pico["bert"], pico["bert"], text, objective="masked")
    with pytest.raises(CheckpointError, match="only a causal language model writes"):
        forgetting(pico["mlm"], pico["mlm"], "self", length=12)
    with pytest.raises(RecipeError, match=r"absent\.txt"):
        forgetting(pico["llama"], pico["llama"], tmp_path / "absent.txt")
    (tmp_path / "short.txt").write_text("w1 w2")
    with pytest.raises(CheckpointError, match="too little text"):
        forgetting(pico["llama"], pico["llama"], tmp_path / "short.txt")
    with pytest.raises(CheckpointError, match="takes at most 40 tokens, not 64"):
        forgetting(pico["mlm"], pico["mlm"], text, length=64)
    with pytest.raises(
        SpectraError, match="device 'cuda' cannot be used" if not torch.cuda.is_available() else "device"
    ):
        forgetting(pico["llama"], pico["llama"], text, device="cuda" if not torch.cuda.is_available() else "no")
    for wrong in ({"length": 1}, {"num_sequences": 1}, {"batch_size": 0}):
        with pytest.raises(ValueError, match="forgetting takes a length of at least 4"):
            forgetting(pico["llama"], pico["llama"], text, **wrong)
    with pytest.raises(ValueError, match="objective must be one of"):
        forgetting(pico["llama"], pico["llama"], text, objective="other")


def test_places_of_roberta_begin_after_that_of_the_padding() -> None:
    config = transformers.RobertaConfig(
        vocab_size=60, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32,
        max_position_embeddings=20, pad_token_id=1,
    )  # fmt: skip
    model = transformers.AutoModel.from_config(config).eval()
    most = most_tokens(model)
    assert most == 18
    model(torch.full((1, most), 5))
    with pytest.raises((IndexError, RuntimeError)):
        model(torch.full((1, most + 1), 5))
    assert [most_tokens(pico_model(kind)) for kind in ("bert", "gpt2")] == [40, 40]


def test_what_a_config_says_it_is(pico: dict[str, Path]) -> None:
    assert [objective_of(pico[kind]) for kind in ("llama", "gpt2", "mlm")] == ["causal", "causal", "masked"]


@pytest.mark.parametrize(("value", "message"), [(float("nan"), "NaN"), (3e38, "its loss on this text is")])
def test_a_model_whose_loss_is_no_number_is_told_and_the_others_are_measured(
    pico: dict[str, Path], text: Path, tmp_path: Path, value: float, message: str
) -> None:
    broken = AutoModelForCausalLM.from_pretrained(pico["llama"])
    torch.nn.init.constant_(broken.model.layers[0].mlp.up_proj.weight, value)
    broken.save_pretrained(tmp_path / "broken")
    with pytest.raises(CheckpointError, match=message):
        forgetting(pico["llama"], tmp_path / "broken", text, num_sequences=8, length=12)
    several = [tmp_path / "broken", pico["llama"], tmp_path / "absent"]
    study = forgetting(pico["llama"], several, text, num_sequences=8, length=12)
    reasons = study.table["reason"].tolist()
    assert [bool(reason) for reason in reasons] == [False, True, False, True]
    assert study.table["rise"].isna().tolist() == [False, True, False, True]
    assert study.table["rise"][2] == 0.0


@pytest.mark.parametrize("architectures", ["3", '"A"', "[3]", "{}]", "[[]]"])
def test_a_config_that_was_edited_is_a_sentence(tmp_path: Path, architectures: str) -> None:
    (tmp_path / "config.json").write_text(f'{{"architectures": {architectures}}}')
    with pytest.raises(CheckpointError, match=r"config\.json"):
        objective_of(tmp_path)
