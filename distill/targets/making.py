"""From a name and its options to a fitted policy."""

from collections.abc import Callable, Mapping
from typing import Any

from distill.targets import MIXTURE, POLICIES
from distill.targets.mixture import Weights
from distill.targets.policy import Policy, TrainingSet, fitting_policy
from embedstore import EmbeddingStore, Summary
from embedstore.errors import SettingsError
from embedstore.parameters import is_one_of, taken_by, wrong_type
from embedstore.summaries import STRATEGIES, complete_parameters

Options = Mapping[str, Mapping[str, Any]]  # policy -> its options
_ALONE = (MIXTURE, "live-teacher")  # not in a mixture: the teacher costs the same for one label as for all
SAVED = "summary"  # the option that names a saved summary
STRATEGY = (
    "strategy"  # the option that names another strategy to make one by, such as a control; any other is a parameter
)


def make_policy(
    name: str,
    training: TrainingSet,
    *,
    seed: int,
    options: Options,
    weights: Weights,
    summary_of: Callable[[str, Mapping[str, Any]], Summary],
) -> Policy | None:
    """Fit a policy, and for `mixture` all that it mixes.

    Args:
        name: a key of `POLICIES`.
        training: what the targets are for.
        seed: of whatever is drawn.
        options: of the policies, by name.
        weights: of a mixture; see `mixture`.
        summary_of: (strategy, options) -> the summary that a policy needs.

    Raises:
        SettingsError: the policy needs every sample's own vector, and the source is a summary file.
        SummaryError: its summary does not fit.
    """
    if name == MIXTURE:
        members = {
            member: make_policy(member, training, seed=seed, options=options, weights={}, summary_of=summary_of)
            for member in mixed(weights)
        }
        return POLICIES[name].fit(training, None, seed, weights=weights, members=members)
    kind, chosen = POLICIES[name], options.get(name, {})
    if kind.reads_vectors and not isinstance(training.source, EmbeddingStore):
        raise SettingsError(
            f"The policy '{name}' needs every picture's own vector, which a summary file does not hold; train it from the "
            "store, or use compressed-own, class-mean, class-distribution, sub-prototypes or rare-samples."
        )
    if kind.strategy is None:
        return kind.fit(training, None, seed, **chosen)
    return kind.fit(training, summary_of(*strategy_of(name, chosen)), seed)


def strategy_of(policy: str, chosen: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
    """Return the strategy whose summary a policy takes, its own unless the options name another, and its parameters.

    Raises:
        SettingsError: the policy does not take summaries of that strategy.
    """
    own = POLICIES[policy].strategy
    assert own is not None  # noqa: S101  only policies that take a summary are asked
    named = chosen.get(STRATEGY, own)
    fitting = [strategy for strategy in STRATEGIES if fitting_policy(strategy) == fitting_policy(own)]
    if named not in fitting:
        raise SettingsError(
            f"The policy '{policy}' takes no summary of the strategy {named!r}; use one of {', '.join(fitting)}."
        )
    return named, {name: value for name, value in chosen.items() if name != STRATEGY}


def mixed(weights: Weights) -> list[str]:
    """Return the names of the policies that a mixture names, sorted."""
    return sorted({policy for shares in weights.values() for policy in shares})


def check_options(policy: str, weights: Weights, options: Options) -> None:
    """Refuse a mixture or options that can't be; what only the data can tell is left to `make_policy`.

    Raises:
        SettingsError: with what is wrong.
    """
    if (policy == MIXTURE) != bool(weights):
        raise SettingsError(
            "The policy 'mixture' needs weights: name the policies of each label in a task file."
            if policy == MIXTURE
            else f"Weights of a mixture were given, but the policy is '{policy}', not 'mixture'."
        )
    for label, shares in weights.items():
        if not isinstance(shares, Mapping):
            raise SettingsError(f"The mixture of '{label}' is {shares!r}; expected policies, each with its weight.")
        for name, weight in shares.items():
            if name not in POLICIES or name in _ALONE:
                known = ", ".join(known for known in POLICIES if known not in _ALONE)
                raise SettingsError(f"The mixture of '{label}' names the policy '{name}'; use {known}.")
            if not is_one_of((float,), weight) or not 0 <= weight < float("inf"):
                raise SettingsError(
                    f"The weight of '{name}' for '{label}' is {weight!r}; expected a number, 0 or more."
                )
        if not sum(shares.values()):
            raise SettingsError(f"The mixture of '{label}' has no policy with a weight above 0.")
    for name, chosen in options.items():  # also of policies that are not used, since a task file serves several runs
        if name not in POLICIES or name == MIXTURE:
            raise SettingsError(
                f"Options are given for '{name}', which is no policy that takes options; leave them out."
            )
        if not isinstance(chosen, Mapping):
            raise SettingsError(f"The options of '{name}' are {chosen!r}; expected names with their values.")
        _check_options_of(name, chosen)


def _check_options_of(policy: str, chosen: Mapping[str, Any]) -> None:
    kind = POLICIES[policy]
    if SAVED in chosen:
        if kind.strategy is None:
            raise SettingsError(f"The policy '{policy}' takes no summary; leave it out.")
        if len(chosen) > 1:
            raise SettingsError(
                f"The options of '{policy}' name a saved summary and parameters to make one; give one or the other."
            )
        if not isinstance(chosen[SAVED], str):
            raise SettingsError(f"The option '{SAVED}' of '{policy}' is {chosen[SAVED]!r}; expected a text.")
        return
    if kind.strategy is not None:
        complete_parameters(*strategy_of(policy, chosen))
        return
    taken = taken_by(kind.fit)
    for name in chosen:
        if name not in taken:
            raise SettingsError(
                f"The policy '{policy}' takes no option '{name}'; it takes {' and '.join(taken) or 'none'}."
            )
    wrong = wrong_type(kind.fit, chosen)
    if wrong is not None:
        name, expected = wrong
        raise SettingsError(f"The option '{name}' of '{policy}' is {chosen[name]!r}; expected {expected}.")
