"""Which pictures should the cross-entropy see: every stored view, or whole pictures only? Compared on validation groups.

    python tools/bench/ce_views.py STORE --good good --out DIR [--epochs 30] [--folds 0,1] [--seeds 0,1]

The store must hold several groups; its split is rewritten, so give a copy of a store that is in use. Test groups are
never looked at: the figure is the validation AUROC of the last epoch,
whole pictures, unflipped. Both ways pass equally many pictures
through the student. Finished runs are not run again.
"""

import argparse
import shutil
from pathlib import Path
from statistics import mean, stdev

import distill
import embedstore
from distill.training.run_directory import is_complete, read_metrics

POLICIES = ("none", "class-mean", "own")


def main() -> None:
    """Run all conditions and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("store", type=Path)
    parser.add_argument("--good", required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--folds", default="0,1")
    parser.add_argument("--seeds", default="0,1")
    options = parser.parse_args()
    folds, seeds = ([int(part) for part in text.split(",")] for text in (options.folds, options.seeds))
    reached: dict[tuple[str, str], list[float]] = {}
    for fold in folds:
        with embedstore.open(options.store) as store:
            store.split(fold=fold)
            for seed in seeds:
                for policy in POLICIES:
                    for ce_views in ("all", "whole"):
                        out = options.out / f"{policy}-{ce_views}-fold{fold}-seed{seed}-epochs{options.epochs}"
                        settings = distill.Settings(
                            policy=policy, good=options.good, ce_views=ce_views, seed=seed, epochs=options.epochs
                        )
                        if not is_complete(out):
                            shutil.rmtree(out, ignore_errors=True)  # the split has moved the store's version meanwhile
                            distill.train(store, out, settings)
                        auroc = read_metrics(out)[-1]["val_auroc"]
                        reached.setdefault((policy, ce_views), []).append(auroc)
                        print(
                            f"fold {fold} seed {seed} {policy:12} {ce_views:6} validation AUROC {auroc:.3f}", flush=True
                        )
    print("\npolicy        all    whole  whole - all (mean and standard deviation of the pairs)")
    for policy in POLICIES:
        every, whole = reached[policy, "all"], reached[policy, "whole"]
        gains = [b - a for a, b in zip(every, whole, strict=True)]
        spread = f"{stdev(gains):.3f}" if len(gains) > 1 else "-"
        print(f"{policy:12}  {mean(every):.3f}  {mean(whole):.3f}  {mean(gains):+.3f} ({spread}, {len(gains)} pairs)")


if __name__ == "__main__":
    main()
