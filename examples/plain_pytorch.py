"""Your own network and loop in plain PyTorch, taught by a store's vectors beside the labels.

embedstore build parts.store photos/ --keep-images 128
python examples/plain_pytorch.py parts.store --good good --epochs 20
"""

import argparse

import torch
from sklearn.metrics import roc_auc_score
from torch import Tensor, nn
from torch.utils.data import DataLoader

from distill import DistillationDataset, DistillationLoss
from embedstore.errors import EmbedstoreError

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")


class Student(nn.Module):
    """Any network will do that gives features (m, f) and logits (m, classes) of uint8 pictures (m, 3, s, s)."""

    features = 128

    def __init__(self, classes: int):
        super().__init__()
        layers: list[nn.Module] = []
        for inputs, outputs in ((3, 32), (32, 64), (64, 128)):
            layers += [nn.Conv2d(inputs, outputs, 3, 2, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()]
        self.trunk = nn.Sequential(*layers, nn.AdaptiveMaxPool2d(1), nn.Flatten())
        self.head = nn.Linear(self.features, classes)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Map pictures to features and logits; the pixels are scaled here, so that a terminal can't do it differently."""
        features = self.trunk(images.float() / 127.5 - 1)
        return features, self.head(features)


@torch.inference_mode()
def auroc(student: nn.Module, loader: DataLoader[tuple[Tensor, int, Tensor]], good: int) -> float:
    """Return the area under the ROC curve of "is no good part"; pictures without a label don't count."""
    student.eval()
    labels, scores = [], []
    for images, numbers, _ in loader:
        labels.append(numbers)
        scores.append(1 - student(images.to(DEVICE))[1].softmax(dim=1)[:, good].cpu())
    told = torch.cat(labels) >= 0
    return float(roc_auc_score(torch.cat(labels)[told] != good, torch.cat(scores)[told]))


def main() -> None:
    """Train, and print a line an epoch."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("store", help="made by embedstore build")
    parser.add_argument("--good", default="good", help="the label of good parts")
    parser.add_argument("--policy", default="own", help="which target each picture gets; see distill train --help")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--size", type=int, default=96, help="side of the student's input, in pixels")
    parser.add_argument("--workers", type=int, default=0, help="processes that read and cut pictures")
    given = parser.parse_args()

    torch.manual_seed(0)
    try:
        train = DistillationDataset(given.store, "train", policy=given.policy, size=given.size)
        val = DistillationDataset(given.store, "val", size=given.size)
    except EmbedstoreError as error:  # a wrong path, say: it is one sentence that says what to do
        parser.error(str(error))
    if given.good not in train.classes:
        parser.error(f"no label is called '{given.good}'; there are {', '.join(train.classes)}")
    workers = {"num_workers": given.workers, "persistent_workers": given.workers > 0}
    train_loader = DataLoader(train, batch_size=32, shuffle=True, **workers)
    val_loader = DataLoader(val, batch_size=128, **workers)

    student = Student(len(train.classes)).to(DEVICE).to(memory_format=torch.channels_last)  # quicker on processors
    loss = DistillationLoss(student.features, train.dim, prototypes=train.prototypes).to(DEVICE)
    # The loss learns a map from the student's features to the teacher's space, so its parameters belong here, too.
    optimiser = torch.optim.AdamW([*student.parameters(), *loss.parameters()], lr=2e-3, weight_decay=0.05)
    for epoch in range(given.epochs):
        student.train()
        total = 0.0
        for batch in train_loader:
            images, labels, targets = (part.to(DEVICE) for part in batch)
            features, logits = student(images)
            lost = loss(features, logits, labels, targets)
            optimiser.zero_grad()
            lost.total.backward()
            optimiser.step()
            total += lost.total.item() / len(train_loader)
        reached = auroc(student, val_loader, train.classes.index(given.good))
        print(f"epoch {epoch + 1}: loss {total:.3f}, validation AUROC {reached:.3f}", flush=True)
    train.close()
    val.close()


if __name__ == "__main__":
    main()
