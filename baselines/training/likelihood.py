"""Training on texts by their likelihood, through TRL's SFTTrainer: for CPT and RFT.

Its language-model head works in tiles and only where a label is, so that the logits of all tokens over the whole
vocabulary are never held at once. The loss is the mean over all labelled tokens of an optimiser step, on all processes
and micro-batches together.
"""

from __future__ import annotations

from typing import Any

from baselines.training.arguments import training_arguments
from baselines.training.run import Run


def make_likelihood_trainer(run: Run, dataset: Any, **extra: Any) -> Any:
    """SFTTrainer over a `datasets.Dataset` with `input_ids` and, unless all tokens are learned, `labels`."""
    from trl import SFTConfig, SFTTrainer

    arguments = training_arguments(
        run, SFTConfig, packing=False, max_length=None, dataset_kwargs={"skip_prepare_dataset": True}, **extra
    )
    return SFTTrainer(model=run.network, args=arguments, train_dataset=dataset, processing_class=run.tokenizer)


def validation_loss(trainer: Any, dataset: Any) -> float:
    """Mean negative log-likelihood of the tokens of `dataset` (natural log) under the current model."""
    import torch
    from torch.utils.data import DataLoader

    total = torch.zeros(2, dtype=torch.float64)
    network = trainer.accelerator.unwrap_model(trainer.model)
    # Trainer's sampler would leave out the last batch, as for training.
    size = trainer.args.per_device_eval_batch_size
    loader = trainer.accelerator.prepare(DataLoader(dataset, size, collate_fn=trainer.data_collator))
    for batch in loader:
        with torch.no_grad():
            logprobs = network(**batch, use_cache=False, fused_lm_head=True).log_probs
        sums = -logprobs.double().sum(-1)
        counts = (batch["labels"][:, 1:] != -100).double().sum(-1)
        # Without the repetitions that fill up the last batch on several processes.
        gathered = trainer.accelerator.gather_for_metrics(torch.stack([sums, counts], dim=-1))
        total += gathered.sum(0).cpu()
    return float(total[0] / total[1])
