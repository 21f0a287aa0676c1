"""`prunebench inspect`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from prunebench.cli.console import Console
from prunebench.cli.options import Command, common_options, field_options, gather
from prunebench.cli.pictures import check_picture, theme_option, write_picture
from prunebench.config import OF_UNITS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prunebench.records import Inspection

FIELDS = (
    *(
        "model",
        "model_arg",
        "output",
        "image_size",
        "sequence_length",
        "method",
        "fraction",
        "include",
        "exclude",
        "round_to",
    ),
    *OF_UNITS,
)

BAR = 24
"""Signs of the longest bar."""


@click.command("inspect", cls=Command)
@field_options(*FIELDS)
@click.option("--classes", type=click.IntRange(min=2), default=10, show_default=True, metavar="N", help="Classes.")
@click.option(
    "-o", "--picture", "path", metavar="FILE", help="Draw the layers before and after as well, a .png, .svg or .pdf."
)
@theme_option()
@common_options
def command(
    *, classes: int, path: str | None, theme: str, as_json: bool, quiet: bool, debug: bool, **values: Any
) -> None:
    """Show what of a model can be pruned, and prove it: without data, without training.

    Units are channels, neurons and heads, in groups that can only be removed together. With random weights in double
    precision the pruned model is compared with the one in which these units are masked. With --method depth whole
    residual blocks are shown, whose branches are at zero there.
    """
    console = Console(as_json, quiet)
    from prunebench.experiment.inspection import inspect
    from prunebench.training.fit import Tick

    if path is not None:
        check_picture(path)

    def pace(what: str, done: int, total: int) -> None:
        console.tick(Tick(what, 0, 0, 1, done, total, None, "", 0.0))

    found = inspect(gather(values, None), classes, pace)
    console.records([found])
    console.result("\n".join(lines(found)))
    if path is not None:
        from prunebench.plots.inspection import picture

        write_picture(lambda: picture(found), Path(path), theme)
        console.note(f"written {path}")


def lines(found: Inspection) -> Iterator[str]:
    """What was found, for people."""
    from prunebench.experiment.plan import THROUGH_NORMS, some
    from prunebench.results.tables import short

    share, cost = found.reached_params / max(1, found.params), found.reached_macs / max(1, found.macs)
    yield f"{found.model} for {found.inputs}: {found.params:,} parameters, {found.macs:,} MACs"
    yield f"pruning can reach {100 * share:.1f} % of the parameters, and layers with {100 * cost:.1f} % of the MACs"
    if found.groups:
        yield ""
        yield f"{'kind':<8}  {'units':>6}  layers that make them"
        for group in found.groups:
            yield f"{group.kind:<8}  {group.units:>6}  {some(group.modules)}"
    if found.blocks:
        yield ""
        named = max(len("block"), *(len(block.name) for block in found.blocks))
        yield f"{'block':<{named}}  {'params':>6}  {'MACs':>6}  of class"
        for block in found.blocks:
            after = "" if block.exact else ", and what follows its sum"
            yield f"{block.name:<{named}}  {short(block.params):>6}  {short(block.macs):>6}  {block.kind}{after}"
    reasons: dict[str, list[str]] = {}
    for name, why in found.spared.items():
        reasons.setdefault(why, []).append(name or "the model itself")
    if reasons:
        yield ""
        yield from (f"spared: {some(names)} ({why})" for why, names in reasons.items())
    yield ""
    if found.groups:
        yield (
            f"removal proved exact on this model: {found.proof.groups} groups; pruned and masked differ by "
            f"{found.proof.difference:.1g} at most, in double precision ({found.seconds:.1f} s)"
        )
        if found.proof.through_norms:
            yield THROUGH_NORMS
    if found.blocks:
        yield (
            f"removal proved exact on this model: {len(found.blocks)} blocks; pruned and the model with these branches "
            f"at zero differ by {found.proof.difference:.1g} at most, in double precision ({found.seconds:.1f} s)"
        )
    if found.proof.problem:
        yield f"but {found.proof.problem}"
    yield ""
    which = " (the first blocks, as no data tells which)" if found.blocks else ""
    yield (
        f"one step of {found.fraction:g}{which}: {short(found.params)} → {short(found.params_after)} parameters, "
        f"{short(found.macs)} → {short(found.macs_after)} MACs"
    )
    width = max(len(layer.name) for layer in found.layers) if found.layers else 0
    largest = max((layer.weights for layer in found.layers), default=1)
    for layer in found.layers:
        whole = max(1, round(BAR * (layer.weights / largest) ** 0.5))
        left = min(whole, max(int(layer.weights_left > 0), round(whole * layer.weights_left / layer.weights)))
        sizes = f"{'×'.join(map(str, layer.shape_original))} → {'×'.join(map(str, layer.shape))}"
        yield f"  {layer.name:<{width}}  {'█' * left + '░' * (whole - left):<{BAR}}  {sizes}"
