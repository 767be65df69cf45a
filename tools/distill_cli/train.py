"""distill train: a student from a store, or from one exported summary."""

import unicodedata
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from distill.targets import MIXTURE
from distill.targets.making import SAVED
from distill.training.ranks import joined
from distill.training.settings import PATCHES, Settings
from distill_cli import options
from distill_cli.gate import leave
from embedstore.errors import SettingsError, TrainingError
from embedstore_cli import console

if TYPE_CHECKING:
    from distill.evaluation.gate import Gate
    from distill.source import Source
    from distill.training.origin import Origin

_DEFAULT = Settings()
_OPTIONS = {"weight": "lambda"}  # setting -> its option, where the names differ by more than a hyphen


def train(
    out: Annotated[Path, typer.Option(help="The run's directory.", show_default=False)],
    store: Annotated[
        Path | None, typer.Argument(help="The store; none with --summary FILE.safetensors.", show_default=False)
    ] = None,
    task: Annotated[
        Path | None, typer.Option(help="A task file, as distill init writes it; the options below rule over it.")
    ] = None,
    from_: Annotated[
        Path | None,
        typer.Option(
            "--from",
            help="A finished run: begin with its student's weights and take its settings where you give none, with a fifth of "
            "its epochs (3 at least) and no pre-training; then compare both students, see distill gate.",
        ),
    ] = None,
    gate: Annotated[
        bool,
        typer.Option(
            "--gate",
            help="With --from: leave with the exit code of distill gate: 0 passed, 1 failed, 3 can't tell; the run is finished "
            "in any case.",
        ),
    ] = False,
    gate_overkill: options.GateOverkill = False,
    accept_unknown: options.AcceptUnknown = False,
    policy: Annotated[
        str | None,
        typer.Option(
            help="Targets: none, class-mean, sub-prototypes, rare-samples, own, compressed-own, retrieved, class-distribution, "
            "the baselines live-teacher and uncentred-means, or the controls random-vectors, rotated-means and shuffled-own. "
            "[default: own; for a saved summary or a summary file the one that fits it]"
        ),
    ] = None,
    summary: Annotated[
        str | None,
        typer.Option(
            help="A saved summary of the store; else one is made of the training side. Without a store: the file that "
            "embedstore export wrote."
        ),
    ] = None,
    images: Annotated[
        Path | None, typer.Option(help="The image folder, where it has moved, or where there is no store.")
    ] = None,
    good: options.Good = None,
    student: options.Student = None,
    loss: Annotated[
        str | None,
        typer.Option(
            help=options.explained("Alignment: cosine, mse, l1, contrastive or contrastive-all.", _DEFAULT.loss)
        ),
    ] = None,
    weight: options.Weight = None,
    temperature: Annotated[
        float | None, typer.Option(help=options.explained("Of the contrastive losses.", _DEFAULT.temperature))
    ] = None,
    projection: Annotated[
        str | None,
        typer.Option(
            help=options.explained("The learned map: on the side of student or teacher.", _DEFAULT.projection)
        ),
    ] = None,
    size: options.Size = None,
    views: options.Views = None,
    epochs: options.Epochs = None,
    seed: Annotated[
        int | None, typer.Option(help=options.explained("Of weights, order and views.", _DEFAULT.seed))
    ] = None,
    overkill: options.Overkill = None,
    ce_views: Annotated[
        str | None,
        typer.Option(
            help=options.explained(
                "all: every view feeds both losses; whole: whole pictures for labels, views for alignment.",
                _DEFAULT.ce_views,
            )
        ),
    ] = None,
    crops: Annotated[
        str | None,
        typer.Option(
            help=options.explained(
                "stored: replay the store's views; fresh: new ones at each pass, where no vector of the view is needed.",
                _DEFAULT.crops,
            )
        ),
    ] = None,
    pretrain_epochs: options.Pretrain = None,
    balance: options.Balance = None,
    logit_adjustment: options.Adjustment = None,
    schedule: Annotated[
        str | None,
        typer.Option(help=options.explained("Of the learning rate: cosine or constant.", _DEFAULT.schedule)),
    ] = None,
    ema: options.Ema = None,
    keep: options.Keep = None,
    learning_rate: options.LearningRate = None,
    answer: options.Answer = None,
    patches: options.Patches = None,
    precision: options.Precision = None,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            help="Go on with the run in --out, with its own version of the store; by its own task file, whose "
            "settings need not be given again.",
        ),
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Train a student, choose its threshold on the validation side, report on the test side; without the teacher.

    Only the policy live-teacher, a baseline, runs the teacher too.

    Example: distill train parts.store --task task.toml --out runs/own

    Without a task file: distill train parts.store --policy own --good good --out runs/own

    Without a store: distill train --summary rare20.safetensors --images photos --good good --out runs/rare20

    A new student from an old one: distill train parts.store --from runs/old --gate --out runs/new

    On several GPUs or processors: torchrun --nproc-per-node 4 --no-python distill train parts.store --out runs/own
    """
    given: dict[str, Any] = {
        "policy": policy,
        "good": None if good is None else unicodedata.normalize("NFC", good),  # as a store has it
        "student": student,
        "loss": loss,
        "weight": weight,
        "temperature": temperature,
        "size": size,
        "views": views,
        "epochs": epochs,
        "seed": seed,
        "overkill": overkill,
        "ce_views": ce_views,
        "projection": projection,
        "crops": crops,
        "pretrain_epochs": pretrain_epochs,
        "balance": balance,
        "logit_adjustment": logit_adjustment,
        "schedule": schedule,
        "ema": ema,
        "keep": keep,
        "learning_rate": learning_rate,
        "answer": answer,
        "patches": patches,
        "precision": precision,
    }
    changes = {name: value for name, value in given.items() if value is not None}
    with joined() as ranks:  # all that may fail: one of several processes says so
        path, saved = _source(store, summary)
        _refuse_half_a_gate(from_, gate=gate, how=gate_overkill or accept_unknown, ranks=ranks.size)
        import distill
        from distill.training.gate import refuse_incomparable
        from distill.training.memory import hold_freed_memory
        from distill.training.origin import read_origin
        from distill.training.store_version import opened_to_train

        hold_freed_memory()
        origin = None if from_ is None else read_origin(from_)
        task = task or _own_task(out, resume=resume)
        with opened_to_train(path, out, resume=resume, ranks=ranks) as source:
            settings = _settings(source, task, changes, saved, origin)
            options.refuse_idle_patches(patches, settings)
            if gate and origin is not None:
                refuse_incomparable(origin, source, settings)
            with options.naming_the_table(task), _progress(settings, shown=ranks.first) as progress:
                run = distill.train(
                    source,
                    out,
                    settings,
                    origin=origin,
                    images=images,
                    resume=resume,
                    progress=lambda done, total, _: progress(done, total),
                )
    if not ranks.first:
        return
    found: Gate | None = None
    try:
        if from_ is not None:
            found = distill.gate(out, from_, overkill=gate_overkill, store=path, images=images, student=student)
    except TrainingError as error:  # the run is finished all the same
        if gate:
            raise
        run.remarks.append(f"Not compared with the student before: {error}")
    from distill.reports.caveats import remarks_on

    if json:
        compared = {} if found is None else {"gate": found.to_dict()}
        console.print_json(run.report.to_dict() | {"remarks": [*run.remarks, *remarks_on(run.report)]} | compared)
        if gate and found is not None:
            leave(found, accept_unknown=accept_unknown)
        return
    from distill.reports.console import print_gate, print_report
    from distill.training.task_file import TASK

    if task is not None:
        ruling = [f"--{_OPTIONS.get(name, name.replace('_', '-'))}" for name in changes] + ["--summary"] * (
            saved is not None
        )
        console.say(f"Task file '{task}'" + (f", but for {', '.join(ruling)} of the command line." if ruling else "."))
    for remark in run.remarks:
        console.say(remark)
    if settings.keep == "best":
        console.say(f"The student is that of epoch {run.epoch} of {settings.pretrain_epochs + settings.epochs}.")
    print_report(run.report)
    if found is not None:
        print_gate(found)
    console.say(f"Everything is in '{out}'; the task to train it again is '{out / TASK}'.")
    if gate and found is not None:
        leave(found, accept_unknown=accept_unknown)


def _progress(settings: Settings, *, shown: bool) -> AbstractContextManager[Callable[[int, int], None]]:
    if not shown:
        return nullcontext(lambda done, total: None)
    then = "Trained; now patches are learned" if settings.answer == PATCHES else None
    return console.progress(f"Training ({settings.policy})", "epochs", then=then)


def _refuse_half_a_gate(old: Path | None, *, gate: bool, how: bool, ranks: int) -> None:
    if old is None and (gate or how):
        raise SettingsError("--gate compares with an old run; name it: --from RUN")
    if how and not gate:
        raise SettingsError("--gate-overkill and --accept-unknown say how the gate decides; give --gate, too.")
    if gate and ranks > 1:
        raise SettingsError(
            "--gate answers by its exit code, but torchrun gives another; leave it out, and call distill gate afterwards."
        )


def _own_task(out: Path, *, resume: bool) -> Path | None:
    """Return the task file of the run that is to go on, where there is one: what the command line says is compared with it."""
    from distill.training.task_file import TASK

    return out / TASK if resume and (out / TASK).is_file() else None


def _settings(
    source: "Source", task: Path | None, changes: dict[str, Any], saved: str | None, origin: "Origin | None"
) -> Settings:
    """Return what to do: what the command line says, then the task file, then the old run, then what `Settings` says."""
    from distill.targets.policy import fitting_policy
    from distill.training.origin import settings_after
    from distill.training.task_file import default_policy, read_task
    from embedstore.exports import SummaryFile

    fitting = default_policy(source) if saved is None else fitting_policy(source.summary(saved).strategy)
    of_summary = {"policy": fitting} if saved is not None or isinstance(source, SummaryFile) else {}
    if task is not None:
        student = {"student": changes["student"]} if "student" in changes else {}
        settings = read_task(
            task,
            labels={sample.label for sample in source.samples if sample.label is not None},
            changes=changes,
            policy=fitting,
            defaults=None if origin is None else settings_after(origin, of_summary | student),
        )
    elif origin is not None:
        settings = settings_after(origin, of_summary | changes)
    else:
        settings = Settings(**{"policy": fitting} | changes)
    return settings if saved is None else _with_summary(settings, saved)


def _source(store: Path | None, summary: str | None) -> tuple[Path, str | None]:
    """Return what to train from, and the name of a saved summary in it, where one was given."""
    is_file = summary is not None and summary.endswith(".safetensors")
    if store is not None and is_file:
        raise SettingsError(
            f"Both the store '{store}' and the summary file '{summary}' were given; leave the store out, or give --summary "
            "the name of a saved summary of it."
        )
    if store is not None:
        return store, summary
    if summary is None:
        raise SettingsError(
            "There is nothing to train from; name a store, or --summary FILE.safetensors and --images DIR."
        )
    if not is_file:
        raise SettingsError(
            f"Without a store, --summary takes a file that ends in .safetensors, and '{summary}' does not; for a saved "
            f"summary name its store, too: distill train STORE --summary {summary}"
        )
    return Path(summary), None


def _with_summary(settings: Settings, name: str) -> Settings:
    """Return the settings with a saved summary, in place of whatever a task file says of the policy's summary."""
    if settings.policy == MIXTURE:
        raise SettingsError(
            f"--summary {name} was given with a mixture, which has a summary for each of its policies; name them in the "
            f'task file: a line [policies.NAME], and below it summary = "{name}"'
        )
    return replace(settings, options={**settings.options, settings.policy: {SAVED: name}})
