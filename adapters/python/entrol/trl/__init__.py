"""Entrol in TRL: its functions in TRL's place, and a GRPOTrainer with a controller, an objective and a mask.

    import entrol.trl

    entrol.trl.patch()                         # TRL's entropies and log-probabilities by Entrol, on the CPU
    trainer = entrol.trl.GRPOTrainer(          # trl.GRPOTrainer, with arguments more
        model, rewards, args=GRPOConfig(...), train_dataset=prompts,
        controller=dict(name="pi", target="0.6x"),
    )

For TRL 1.16. `import entrol` does not import it.
"""

from ._patch import Patch, patch, unpatch
from ._trainer import GRPOTrainer

__all__ = ["GRPOTrainer", "Patch", "patch", "unpatch"]
