"""embedstore build: images through the teacher into the store."""

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from embedstore_cli import console

if TYPE_CHECKING:
    from embedstore.results import BuildReport


def build(
    store: Annotated[Path, typer.Argument(help="The store; made where there is none.", show_default=False)],
    images: Annotated[Path, typer.Argument(help="The folder that holds the images.", show_default=False)],
    manifest: Annotated[
        Path | None,
        typer.Option(help="CSV or Parquet: path, and optionally label, id, mode, group, split and other columns."),
    ] = None,
    teacher: Annotated[
        str | None,
        typer.Option(
            help="open_clip:ARCH/TAG, open_clip:ARCH@CHECKPOINT, timm:NAME[@CHECKPOINT], efficientnet-lite0|1|2, pixels, or "
            "joined:A+B of several; the store's own, or for a new store open_clip:ViT-B-32/laion2b_s34b_b79k."
        ),
    ] = None,
    outputs: Annotated[
        str | None,
        typer.Option(
            help="Further vectors of each view, of the same pass, with commas between: maxima,grid. Those that the store has "
            "stay; of a new one it gets them for all its samples.",
            show_default=False,
        ),
    ] = None,
    views: Annotated[
        int | None,
        typer.Option(help="Augmented views beside the plain picture; 2 for a new store.", show_default=False),
    ] = None,
    prune: Annotated[
        bool,
        typer.Option(
            "--prune",
            help="Remove samples whose picture is not listed any more; see first which with: embedstore refresh STORE "
            "--prune --dry-run --json",
        ),
    ] = False,
    seed: Annotated[
        int | None, typer.Option(help="Of the views; for a new store only (0).", show_default=False)
    ] = None,
    fit: Annotated[
        str | None,
        typer.Option(help="squash or letterbox: how pictures become square; for a new store only (squash)."),
    ] = None,
    turns: Annotated[bool | None, typer.Option(help="Quarter turns in views; new store only (on).")] = None,
    flips: Annotated[bool | None, typer.Option(help="Mirrored views; new store only (on).")] = None,
    keep_images: Annotated[
        int | None,
        typer.Option(
            help="Keep the pixels of all pictures for students, resized to this short side: they train without decoding files. "
            "A new store's students then cut from this size; 0 keeps none any more.",
            show_default=False,
        ),
    ] = None,
    light: Annotated[bool | None, typer.Option(help="Views in other light; new store only (on).")] = None,
    engine: Annotated[
        str,
        typer.Option(
            help="local: this process; ray: the nodes of a Ray cluster, which see images and shards under the same path. A "
            "cluster runs what it is sent by whoever reaches it and has its token, so keep it in a network that you trust."
        ),
    ] = "local",
    address: Annotated[
        str | None,
        typer.Option(
            help="Of the Ray cluster, HOST:PORT or auto; RAY_ADDRESS where not given, else one is started here, for this machine "
            "alone.",
            show_default=False,
        ),
    ] = None,
    shards: Annotated[
        Path | None,
        typer.Option(
            help="Where nodes hand over what they have embedded; STORE.shards where not given. Who may write there may put "
            "vectors into the store.",
            show_default=False,
        ),
    ] = None,
    shard_crops: Annotated[
        int | None,
        typer.Option(help="Views in a shard, which a lost worker costs; 1000 where not given.", show_default=False),
    ] = None,
    teacher_cores: Annotated[
        int | None,
        typer.Option(
            help="Cores of each teacher, where the cluster has no GPU; where not given 4, or as many as its largest node has.",
            show_default=False,
        ),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Embed what the store does not have yet.

    A picture is embedded again only where its bytes changed. An interrupted build goes on where it was. Pictures that can't
    be read are set aside and listed by: embedstore info STORE

    Example: embedstore build parts.store photos/ --manifest photos.csv --views 8

    On several machines: embedstore build parts.store photos/ --engine ray --address 10.0.0.1:6379
    """
    import embedstore
    from embedstore.engines import engine_named
    from embedstore.errors import NotAStoreError
    from embedstore_cli.change import Generation

    before: Generation | None = None
    with contextlib.suppress(NotAStoreError), embedstore.open(store) as opened:
        before = Generation.of(opened)
    given: dict[str, Any] = {"seed": seed, "fit": fit, "turns": turns, "flips": flips, "light": light}
    chosen = {name: value for name, value in given.items() if value is not None}
    recipe = embedstore.Recipe(**chosen) if chosen else None
    with (
        console.progress("Looking at pictures", "pictures") as progress,
        console.only_the_report_on_stdout(),
    ):
        report = embedstore.build(
            store,
            images,
            manifest=manifest,
            teacher=teacher,
            outputs=None if outputs is None else [name.strip() for name in outputs.split(",")],
            views=views,
            recipe=recipe,
            prune=prune,
            keep_images=keep_images,
            engine=engine_named(engine, address=address, crops=shard_crops, cores=teacher_cores),
            shards=shards,
            progress=progress,
        )
    if json:
        console.print_json(report)
        return
    console.say(
        f"'{store}' holds {console.count(report.samples, 'sample', 'samples')} at version {report.version}: "
        f"{report.new} new, {report.changed} with another picture, "
        f"{report.updated} with other labels or fields, {report.removed} removed.",
        f"The teacher '{report.teacher}' embedded {report.embedded} views in {report.seconds:.1f} s; "
        f"each sample has its plain view and {report.views} augmented ones.",
    )
    tell_who_left(store, report)
    if len(report.outputs) > 1:
        console.say(f"Of each view the store keeps {console.outputs(report.outputs)}.")
    if report.kept or report.not_kept:
        console.say(
            "The pixels of "
            + console.count(report.kept, "picture are", "pictures are")
            + " kept for students."
            + (
                f" For {report.not_kept} more there is no room; they are read from their files."
                if report.not_kept
                else ""
            )
        )
    if report.resumed:
        resumed = console.count(report.resumed, "sample was", "samples were")
        console.say(f"{resumed} embedded by an interrupted run before, and not again.")
    _tell_of_shards(report)
    tell_of_aside(store, report)
    if report.ignored:
        console.say(
            console.count(report.ignored, "file was", "files were") + " passed over: no picture, by the ending."
        )
    if manifest is not None:
        with embedstore.open(store) as opened:
            attributes = ", ".join(f"'{name}'" for name in opened.attribute_names)
        if attributes:
            console.say(f"Columns that name no field are attributes, which --where can ask for: {attributes}.")
    if report.gone:
        console.say(
            console.count(report.gone, "sample stays", "samples stay")
            + " though no picture of that name is listed any more; remove with --prune."
        )
    if report.views_incomplete:
        console.say(
            f"{report.views_incomplete} new views are not complete, since samples whose picture is gone or can't be read lack "
            "them; put those pictures back, or delete the broken files and remove the samples with --prune."
        )
    if report.outputs_incomplete:
        console.say(
            f"{', '.join(report.outputs_incomplete)} can't be used yet, since samples whose picture is gone or can't be read "
            "lack it; put those pictures back, or delete the broken files and remove the samples with --prune."
        )
    if before is not None:
        with embedstore.open(store) as opened:
            console.say(*before.compacted(opened))


def tell_who_left(store: Path, report: "BuildReport") -> None:
    """Say which pictures have another name now, what went with others, and how to have it back."""
    from embedstore_cli.change import told_of_pictures

    if report.moved:
        console.say(
            console.count(report.moved, "picture is", "pictures are")
            + " under another name now and no more under the old one; what was known of it goes along, and where the folder "
            "names another label, it has that."
        )
    console.say(*(f"{sentence}." for sentence in told_of_pictures(store, report)))
    if report.removed or report.overwritten or report.verdicts_dropped:
        console.say(f"To take that back: embedstore rollback '{store}' {report.version - 1}")


def tell_of_aside(store: Path, report: "BuildReport") -> None:
    """Say how many pictures can't be used, and which of them are samples."""
    if report.set_aside:
        console.say(
            console.count(report.set_aside, "picture was", "pictures were")
            + f" set aside, which can't be used; see why: embedstore info '{store}'"
        )
    if report.broken:
        console.say(f"{broken_samples(report, store)}.")


def broken_samples(report: "BuildReport", store: Path) -> str:
    """Return what is to be known and done where the pictures of some samples can't be used any more."""
    return (
        console.count(
            report.broken, "of them is a sample and keeps its vectors", "of them are samples and keep their vectors"
        )
        + ", but training that reads the files refuses them: put the pictures back, or delete the broken files and run: "
        f"embedstore build '{store}' IMAGES --prune"
    )


def _tell_of_shards(report: "BuildReport") -> None:
    if report.shards_resumed:
        resumed = console.count(report.shards_resumed, "shard was", "shards were")
        console.say(f"{resumed} finished by an interrupted run before, and went into the store as they were.")
    if report.shards_repeated:
        repeated = console.count(report.shards_repeated, "shard was", "shards were")
        console.say(f"{repeated} made again, for a worker, a node or a run was lost while it made them.")
