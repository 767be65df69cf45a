"""What policies and figures are called in reports, in English and Japanese."""

from distill.evaluation.intervals import FIGURES
from embedstore.pages import Text

# policy -> (short name, what each picture's target is)
_WAYS = {
    "none": (
        Text("plain training", "通常の学習"),
        Text("nothing", "なし（ラベルだけ）"),
    ),
    "class-mean": (
        Text("class mean", "クラス平均"),
        Text("the mean of its class", "クラスの平均を教える"),
    ),
    "sub-prototypes": (
        Text("sub-prototypes", "複数の代表例"),
        Text("the nearest of several prototypes of its class", "クラスの複数の代表例のうち最も近いものを教える"),
    ),
    "rare-samples": (
        Text("rare samples kept", "希少画像を保持"),
        Text(
            "what the large model saw, where it is rare; else a prototype",
            "希少な画像は大きなモデルの見方そのもの、他は代表例",
        ),
    ),
    "own": (
        Text("own embeddings", "画像ごとの埋め込み"),
        Text("what the large model saw of that very picture", "その画像を大きなモデルがどう見たかを教える"),
    ),
    "retrieved": (
        Text("with neighbours", "近傍との混合"),
        Text("what the large model saw of it and of its neighbours", "その画像と近傍の画像の見方を混ぜて教える"),
    ),
    "mixture": (
        Text("mixture", "混合"),
        Text("one of several ways, drawn at each step", "複数の方法から毎回選んで教える"),
    ),
    "random-vectors": (
        Text("control: random", "対照：乱数"),
        Text("a random vector for its class", "クラスごとの乱数ベクトル"),
    ),
    "rotated-means": (
        Text("control: rotated", "対照：回転した平均"),
        Text("the class means, turned at random", "向きを乱数で変えたクラス平均"),
    ),
    "shuffled-own": (
        Text("control: shuffled", "対照：入れ替え"),
        Text("what the large model saw of another picture of its class", "同じクラスの別の画像の見方"),
    ),
}


def short(policy: str) -> Text:
    """Return a policy's name in plain words."""
    return _WAYS[policy][0] if policy in _WAYS else Text(policy, policy)


def taught(policy: str) -> Text:
    """Return what a policy teaches beside the label."""
    return _WAYS[policy][1] if policy in _WAYS else Text("–", "–")


_FIGURES_JA = {
    "mean_recall": "検出率（誤判定 2～10 % の平均）",
    "recall": "検出率（目標の誤判定率）",
    "overkill": "実際の誤判定率",
    "macro_mode_recall": "検出率（不良の種類の平均）",
    "auroc": "AUROC",
    "accuracy": "正解率",
    "macro_recall": "再現率（ラベルの平均）",
    "worst_class_recall": "最も苦手なラベルの再現率",
}


def named(figure: str) -> Text:
    """Return what a figure of `FIGURES` is called."""
    return Text(FIGURES[figure], _FIGURES_JA[figure])


def quoted(policy: str) -> Text:
    """Return a policy's short name in quotation marks."""
    name = short(policy)
    return Text(f"'{name.en}'", f"「{name.ja}」")
