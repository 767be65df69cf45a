"""The learning curves of one run as an HTML page."""

from collections.abc import Mapping, Sequence

from markupsafe import Markup

from embedstore.pages import Series, Text, line_chart, render_page, section

History = Sequence[Mapping[str, float]]  # figures by epoch

_EPOCH = Text("epoch", "エポック")
_NAMES = {
    "cross_entropy": Text("labels (cross-entropy)", "ラベル（交差エントロピー）"),
    "alignment": Text("targets (alignment)", "目標ベクトル（整合）"),
    "val_auroc": Text("AUROC", "AUROC"),
    "val_aupr": Text("average precision", "平均適合率"),
    "val_accuracy": Text("accuracy", "正解率"),
    "learning_rate": Text("learning rate", "学習率"),
}


def curves_page(run: str, policy: str, pretraining: History, history: History, *sections: Markup) -> str:
    """Return the page of a run: what it lost, what it reached on the validation side, and its learning rate.

    Args:
        run: the name of its directory.
        policy: where its targets come from.
        pretraining: figures by epoch of pre-training; may be empty.
        history: figures by epoch of training; may be empty.
        sections: what else is known of the run, above the curves.
    """
    parts = []
    if pretraining:
        parts.append(_chart(Text("Pre-training", "事前学習"), pretraining, ("alignment",)))
    parts += [
        _chart(Text("Loss of training", "学習の損失"), history, ("cross_entropy", "alignment")),
        _chart(
            Text("Reached on the validation side", "検証データでの到達度"),
            history,
            ("val_auroc", "val_aupr", "val_accuracy"),
        ),
        _chart(Text("Learning rate", "学習率"), [*pretraining, *history], ("learning_rate",)),
    ]
    return render_page(
        Text(f"Learning curves of {run}", f"{run} の学習曲線"),
        [*sections, section("", *parts)],
        kicker=Text(f"Policy {policy}", f"学習方法 {policy}"),
        footer=Text("The figures are in metrics.csv.", "数値は metrics.csv にあります。"),
    )


def _chart(title: Text, history: History, names: Sequence[str]) -> Markup:
    shown = [name for name in names if any(name in figures for figures in history)]
    at = [figures["epoch"] for figures in history]
    series = [Series(_NAMES[name], [figures.get(name, float("nan")) for figures in history], at) for name in shown]
    return line_chart(series, title=title, x_title=_EPOCH, y_title="")
