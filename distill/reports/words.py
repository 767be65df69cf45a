"""What policies are called on pages, in English and Japanese."""

from embedstore.pages import Text

_WAYS = {
    "none": Text("plain training, without a teacher", "通常の学習（教師なし）"),
    "class-mean": Text("one mean per class", "クラスごとに平均 1 つ"),
    "sub-prototypes": Text("several prototypes per class", "クラスごとに代表例を複数"),
    "rare-samples": Text("rare samples kept, the rest by prototypes", "希少な画像は個別に保持、他は代表例"),
    "own": Text("every picture's own embedding", "画像ごとの埋め込み"),
    "retrieved": Text("own embedding mixed with its neighbours", "自身と近傍の埋め込みの混合"),
    "mixture": Text("a mixture of ways, by class", "クラスごとの混合"),
    "random-vectors": Text("control: a random vector per class", "対照：クラスごとに乱数ベクトル"),
    "rotated-means": Text("control: the class means, rotated", "対照：クラス平均を回転"),
    "shuffled-own": Text("control: another picture's embedding", "対照：別の画像の埋め込み"),
}


def way(policy: str) -> Text:
    """Return a policy's name with what it means in plain words."""
    words = _WAYS.get(policy)
    return Text(policy, policy) if words is None else Text(f"{policy}: {words.en}", f"{policy}：{words.ja}")
