"""The names of the ways that are compared; the program that watches them needs no PyTorch."""

TEACHERS = {"lite0": "efficientnet-lite0", "ViT-B/32": "open_clip:ViT-B-32", "ViT-L/14": "open_clip:ViT-L-14"}
POLICIES = {
    "plain": "none", "class-mean": "class-mean", "sub-prototypes": "sub-prototypes", "rare-samples": "rare-samples",
    "own": "own", "retrieved": "retrieved", "class-distribution": "class-distribution",
}  # fmt: skip

PASSES = tuple(f"pass, {teacher}" for teacher in TEACHERS)
LIVE = tuple(f"live, {teacher}" for teacher in TEACHERS)
SLOW = (*PASSES, *LIVE)  # each pass before its live way, which trains from the store that it fills
GROWTH = ("plain, grown", "own, grown", "sub-prototypes, grown", "retrieved, grown")
MOST = {"retrieved, grown": 10_000}  # its neighbours are looked up in O(n^2), once
WAYS = (
    "bare steps", "image folder", "image folder, tuned", "plain, kept, fresh crops",
    *(f"{policy}, {where}" for where in ("kept", "files") for policy in POLICIES), *SLOW,
)  # fmt: skip


def few(teacher: str) -> str:
    """Return the folder of the pictures that a teacher sees: of ViT-L/14, which needs seconds for each, a fifth as many."""
    return "fewest" if teacher == "ViT-L/14" else "few"
