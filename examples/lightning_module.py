"""A LightningModule of your own, taught by a store's vectors beside the labels.

pip install lightning
embedstore build parts.store photos/ --keep-images 128
python examples/lightning_module.py parts.store --good good --epochs 20
"""

import argparse

import lightning
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader
from torchmetrics.classification import BinaryAUROC

from distill import DistillationDataset, DistillationLoss
from embedstore.errors import EmbedstoreError

Batch = tuple[Tensor, Tensor, Tensor]


class Detector(lightning.LightningModule):
    """A student and its loss; both are parts of the module, so `self.parameters()` has the loss's learned map, too."""

    features = 128

    def __init__(self, train: DistillationDataset, good: str):
        super().__init__()
        layers: list[nn.Module] = []
        for inputs, outputs in ((3, 32), (32, 64), (64, 128)):
            layers += [nn.Conv2d(inputs, outputs, 3, 2, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()]
        self.trunk = nn.Sequential(*layers, nn.AdaptiveMaxPool2d(1), nn.Flatten())
        self.head = nn.Linear(self.features, len(train.classes))
        self.loss = DistillationLoss(self.features, train.dim, prototypes=train.prototypes)
        self.good, self.auroc = train.classes.index(good), BinaryAUROC()

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Map uint8 pictures (m, 3, s, s) to features (m, f) and logits (m, classes)."""
        features = self.trunk(images.float() / 127.5 - 1)
        return features, self.head(features)

    def training_step(self, batch: Batch, _: int) -> Tensor:
        """Return the loss of a batch."""
        images, labels, targets = batch
        features, logits = self(images)
        total: Tensor = self.loss(features, logits, labels, targets).total
        self.log("loss", total, on_step=False, on_epoch=True)
        return total

    def validation_step(self, batch: Batch, _: int) -> None:
        """Score "is no good part"; pictures without a label don't count."""
        images, labels, _targets = batch
        scores = 1 - self(images)[1].softmax(dim=1)[:, self.good]
        self.auroc.update(scores[labels >= 0], (labels[labels >= 0] != self.good).int())
        self.log("auroc", self.auroc)

    def on_train_epoch_end(self) -> None:
        """Print a line an epoch."""
        reached = self.trainer.callback_metrics
        print(f"epoch {self.current_epoch + 1}: loss {reached['loss']:.3f}, validation AUROC {reached['auroc']:.3f}")

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Return the optimiser of the student and the loss."""
        return torch.optim.AdamW(self.parameters(), lr=2e-3, weight_decay=0.05)


def main() -> None:
    """Train."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("store", help="made by embedstore build")
    parser.add_argument("--good", default="good", help="the label of good parts")
    parser.add_argument("--policy", default="own", help="which target each picture gets; see distill train --help")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--size", type=int, default=96, help="side of the student's input, in pixels")
    parser.add_argument("--workers", type=int, default=0, help="processes that read and cut pictures")
    given = parser.parse_args()

    lightning.seed_everything(0, verbose=False)
    try:
        train = DistillationDataset(given.store, "train", policy=given.policy, size=given.size)
        val = DistillationDataset(given.store, "val", size=given.size)
    except EmbedstoreError as error:  # a wrong path, say: it is one sentence that says what to do
        parser.error(str(error))
    if given.good not in train.classes:
        parser.error(f"no label is called '{given.good}'; there are {', '.join(train.classes)}")
    # Nothing is written: give a logger, and switch checkpoints on, where you want them.
    trainer = lightning.Trainer(
        max_epochs=given.epochs,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
    )
    workers = {"num_workers": given.workers, "persistent_workers": given.workers > 0}
    train_loader = DataLoader(train, batch_size=32, shuffle=True, **workers)
    trainer.fit(Detector(train, given.good), train_loader, DataLoader(val, batch_size=128, **workers))


if __name__ == "__main__":
    main()
