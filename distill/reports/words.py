"""What policies and figures are called in reports, in English and Japanese."""

from distill.evaluation.comparison import Comparison, main_figure
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
    "compressed-own": (
        Text("own, compressed", "画像ごと・圧縮"),
        Text(
            "what the large model saw of that very picture, in a few bytes",
            "その画像を大きなモデルがどう見たかを、数バイトに圧縮して教える",
        ),
    ),
    "retrieved": (
        Text("with neighbours", "近傍との混合"),
        Text("what the large model saw of it and of its neighbours", "その画像と近傍の画像の見方を混ぜて教える"),
    ),
    "mixture": (
        Text("mixture", "混合"),
        Text("one of several ways, drawn at each step", "複数の方法から毎回選んで教える"),
    ),
    "class-distribution": (
        Text("class distribution", "クラスの分布"),
        Text("a draw from how its class is spread", "クラスの分布から毎回無作為に生成して教える"),
    ),
    "live-teacher": (
        Text("large model beside", "大きなモデルを併走"),
        Text(
            "what the large model, run at each step, says of that view",
            "学習の各ステップで大きなモデルを動かして教える",
        ),
    ),
    "live-teacher-fresh": (
        Text("large model beside, new crops", "大きなモデルを併走・毎回新しい切り出し"),
        Text(
            "what the large model, run at each step, says of a crop never seen before",
            "毎回新しい切り出しを大きなモデルに見せて教える",
        ),
    ),
    "none-fresh": (
        Text("plain training, new crops", "通常の学習・毎回新しい切り出し"),
        Text("nothing", "なし（ラベルだけ）"),
    ),
    "clip-teacher-kd": (
        Text("CLIP-Teacher-KD", "CLIP-Teacher-KD"),
        Text(
            "to tell the large model's vector of its picture from those of the batch, as published",
            "バッチの中から自分の画像のベクトルを見分ける（論文どおり）",
        ),
    ),
    "uncentred-means": (
        Text("class mean, not centred", "クラス平均（中心化なし）"),
        Text("the mean of its class, nothing taken off", "クラスの平均をそのまま教える"),
    ),
    "clip-embed-kd": (
        Text("CLIP-Embed-KD", "CLIP-Embed-KD"),
        Text("to tell its class's mean from the others, as published", "自分のクラスの平均を見分ける（論文どおり）"),
    ),
    "clip-embed-kd-l1": (
        Text("CLIP-Embed-KD, L1", "CLIP-Embed-KD（L1）"),
        Text("the mean of its class, by the L1 distance", "クラスの平均を L1 距離で教える"),
    ),
    "clip-embed-kd-mse": (
        Text("CLIP-Embed-KD, MSE", "CLIP-Embed-KD（MSE）"),
        Text("the mean of its class, by the squared distance", "クラスの平均を二乗距離で教える"),
    ),
    "clip-embed-kd-corrected": (
        Text("CLIP-Embed-KD, corrected", "CLIP-Embed-KD（修正版）"),
        Text(
            "to tell its class's centred mean from the others, by a map on the student's side",
            "生徒側の写像で、中心化したクラス平均を見分ける",
        ),
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

LIVE = ("live-teacher", "live-teacher-fresh", "clip-teacher-kd")  # ways in which the large model runs


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


NO_ESCAPE = Text(
    "The threshold for no escape is the lowest cross-fitted score of a defect over all trainings, so one defect that looks good "
    "decides it, and more seeds only lower it: do not compare these figures with those of another number of seeds.",
    "見逃しゼロのしきい値は、交差適合した不良のスコアの全学習での最小値なので、良品に見える不良 1 枚で決まり、乱数の通り数が"
    "増えるほど下がります。乱数の通り数が違う比較の値とは比べられません。",
)


def order(comparison: Comparison) -> Text | None:
    """Say in which order ways stand; None of two, of which one is the baseline."""
    if len(comparison.policies) < 3:
        return None
    figure = named(main_figure(comparison.good))
    if comparison.good is None:
        return Text(
            f"The baseline comes first, the others by {figure.en}.", f"最初は比較の基準、以下は{figure.ja}の順です。"
        )
    between = named("macro_mode_recall")
    return Text(
        f"The baseline comes first, the others by {figure.en}; between neighbours, {between.en} decides.",
        f"最初は比較の基準、以下は{figure.ja}の順です。値が近いときは{between.ja}で判断します。",
    )
