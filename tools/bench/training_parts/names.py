"""The names of the ways that are compared; the program that watches them needs no PyTorch."""

TEACHERS = {"lite0": "efficientnet-lite0", "ViT-B/32": "open_clip:ViT-B-32", "ViT-L/14": "open_clip:ViT-L-14"}

OWN_WAYS = (
    "plain, kept", "plain, kept, fresh crops", "plain, files", "class-mean, kept", "sub-prototypes, kept",
    "rare-samples, kept", "own, kept", "own, files", "retrieved, kept", "class-distribution, kept",
)  # fmt: skip
PASSES = tuple(f"pass, {teacher}" for teacher in TEACHERS)
LIVE = tuple(f"live, {teacher}" for teacher in TEACHERS)
SLOW = (*PASSES, *LIVE)  # each pass before its live way, which trains from the store that it fills
GROWTH = ("plain, grown", "own, grown")
WAYS = ("bare steps", "bare steps, held", "image folder", *OWN_WAYS, *SLOW)
