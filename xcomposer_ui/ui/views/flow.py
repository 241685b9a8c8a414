"""The dtype flow: a row a module, its types in and out beside its weights', casts, islands and the clash marked."""

from __future__ import annotations

import re
from collections.abc import Sequence

from xcomposer_ui.core.messages import text, worded
from xcomposer_ui.tracing.dtype_flow import Cast, Traced
from xcomposer_ui.tracing.dtype_path import PathStep, path, paths_aligned
from xcomposer_ui.ui.views.explanation import strategy_label
from xcomposer_ui.ui.views.marks import COLOURED, clash_mark, dtype_chip, escaped

DEPTHS = (0, 1, 2, 6)
"""The levels to zoom to; the last one is all there is, and deeper rows count as it (see `assets/style.css`)."""

ARROW = '<i class="xl-to" aria-hidden="true"></i>'


def flow_view(traced: Sequence[Traced], language: str) -> str:
    """One traced run, or two side by side; for none, what the section is for."""
    if not traced:
        return f'<p class="xl-quiet">{escaped(text("flow.empty", language))}</p>'
    names = [strategy_label(each.strategy, language) for each in traced]
    title = (
        text("flow.title", language, strategy=names[0])
        if len(traced) == 1
        else text("flow.title.two", language, left=names[0], right=names[1])
    )
    table = _single(traced[0], language) if len(traced) == 1 else _double(traced[0], traced[1], language)
    label = escaped(text("flow.table", language))
    return (
        f'<section class="xl-card xl-flow" aria-label="{escaped(title)}"><h3>{escaped(title)}</h3>{_zoom(language)}'
        f'<div class="xl-scroll" role="region" tabindex="0" aria-label="{label}">'
        f'<table class="xl-table" role="table"><caption class="xl-said">{label}</caption>{table}</table></div>'
        f"{''.join(_ending(each, name, language) for each, name in zip(traced, names, strict=True))}</section>"
    )


def flow_stage(strategy: str | None, language: str) -> str:
    """What is shown while a trace is in progress; strategy: None while another run holds the model."""
    said = (
        text("flow.waiting", language)
        if strategy is None
        else text("flow.tracing", language, strategy=strategy_label(strategy, language))
    )
    return f'<p class="xl-stage" role="status">{escaped(said)}</p>'


def _zoom(language: str) -> str:
    """Radio buttons that the style sheet reads: no round trip, and hidden rows are hidden from readers too."""
    options = "".join(
        f'<label><input type="radio" name="xl-zoom" value="{depth}"{" checked" if depth == DEPTHS[0] else ""}>'
        f"<span>{escaped(text(f'flow.depth.{depth}', language))}</span></label>"
        for depth in DEPTHS
    )
    return f'<fieldset class="xl-zoom"><legend>{escaped(text("flow.depth", language))}</legend>{options}</fieldset>'


def _single(traced: Traced, language: str) -> str:
    columns = ("stage", "in", "weights", "out", "happens")
    head = _head(tuple(text(f"flow.{column}", language) for column in columns))
    rows, parents = [], _Parents()
    for step in path(traced.flow):
        cells = "".join((
            _cell(text("flow.in", language), _chips(step.dtypes_in, language)),
            _cell(text("flow.weights", language), _chips(step.dtypes_parameters, language)),
            _cell(text("flow.out", language), _out(step, language)),
            _cell(text("flow.happens", language), _happens(step, traced, language)),
        ))  # fmt: skip
        rows.append(_row(step, parents, cells, language, broken=step.failed))
    return f'{head}<tbody role="rowgroup">{"".join(rows)}</tbody>'


def _double(left: Traced, right: Traced, language: str) -> str:
    names = [strategy_label(each.strategy, language) for each in (left, right)]
    head = _head((text("flow.stage", language), names[0], "", names[1]))
    rows, parents = [], _Parents()
    for one, other in paths_aligned(left.flow, right.flow):
        step = one or other
        assert step is not None  # a row is there because one of the two has it
        differs = one is None or other is None or _way(one) != _way(other)
        mark = f'<span class="xl-differs" title="{escaped(text("flow.differs", language))}">≠</span>' if differs else ""
        said = f'<span class="xl-said">{escaped(text("flow.differs", language))}</span>' if differs else ""
        cells = (
            _cell(names[0], _side(one, left, language))
            + _cell("", mark + said)
            + _cell(names[1], _side(other, right, language))
        )
        broken = any(each is not None and each.failed for each in (one, other))
        rows.append(_row(step, parents, cells, language, broken=broken))
    return f'{head}<tbody role="rowgroup">{"".join(rows)}</tbody>'


class _Parents:
    """The modules that the row at hand lies in, so that it need only say the rest of its name."""

    def __init__(self) -> None:
        self._open: list[PathStep] = []

    def short_name(self, step: PathStep) -> str:
        """The module's name without that of the module around it."""
        while self._open and self._open[-1].level >= step.level:
            self._open.pop()
        around = self._open[-1].name if self._open else ""
        self._open.append(step)
        return step.name.removeprefix(f"{around}.") if around else step.name


# On a phone the style sheet lays each row out as a block of labelled lines, and what is laid out so is no table to a
# screen reader any more: so the roles are said.
def _head(columns: tuple[str, ...]) -> str:
    cells = "".join(f'<th scope="col" role="columnheader">{escaped(column)}</th>' for column in columns)
    return f'<thead role="rowgroup"><tr role="row">{cells}</tr></thead>'


def _cell(label: str, shown: str) -> str:
    """A cell. label: of its column, for where it has no head above it."""
    return f'<td role="cell" data-label="{escaped(label)}">{shown}</td>'


def _row(step: PathStep, parents: _Parents, cells: str, language: str, *, broken: bool) -> str:
    level = min(step.level, DEPTHS[-1])
    classes = f"xl-level-{level}" + (" xl-broken" if broken else "")
    lane = f'<i class="xl-lane {_lane(step)}" aria-hidden="true"></i>'
    name = parents.short_name(step)
    code = f'<code title="{escaped(step.name)}">{escaped(name)}</code>' if name else ""
    kind = f"<small>{escaped(step.call.class_name)}</small>" if step.call and step.level else ""
    label = f"<b>{escaped(_stage(step, language))}</b> " if step.level == 0 else ""
    head = f'<th scope="row" role="rowheader">{lane}<span>{label}{code}{kind}</span></th>'
    return f'<tr class="{classes}" role="row">{head}{cells}</tr>'


def _lane(step: PathStep) -> str:
    """The colours of the line along the rows: the type that comes in above, the one that goes out below."""
    into = next((d for d in step.dtypes_in or step.dtypes_out if d in COLOURED), "other")
    out = "clash" if step.failed else next((d for d in step.dtypes_out if d in COLOURED), into)
    return f"xl-in-{into} xl-out-{out}" + (" xl-lane-island" if step.is_island else "")


def _stage(step: PathStep, language: str) -> str:
    number = re.search(r"(\d+)$", step.name)
    facts = {"n": int(number[1]) + 1} if step.stage == "block" and number else {}
    return text(f"flow.stage.{step.stage}", language, **facts)


def _chips(dtypes: tuple[str, ...], language: str) -> str:
    if not dtypes:
        none = escaped(text("flow.none", language))
        return f'<span class="xl-quiet"><span aria-hidden="true">—</span><span class="xl-said">{none}</span></span>'
    return " ".join(dtype_chip(dtype) for dtype in dtypes)


def _out(step: PathStep, language: str) -> str:
    if step.failed:
        return f'<span class="xl-failed">{escaped(text("flow.gives_nothing", language))}</span>'
    return _chips(step.dtypes_out, language)


def _way(step: PathStep) -> tuple[object, ...]:
    return step.dtypes_in, step.dtypes_out, step.dtypes_parameters, step.casts, step.failed


def _side(step: PathStep | None, traced: Traced, language: str) -> str:
    """One side's cell where two runs stand beside each other."""
    if step is None:
        return f'<span class="xl-quiet">{escaped(text("flow.absent", language))}</span>'
    weights = (
        f"<small>{escaped(text('flow.weights', language))} {_chips(step.dtypes_parameters, language)}</small>"
        if step.dtypes_parameters
        else ""
    )
    way = f"{_chips(step.dtypes_in, language)} {ARROW} {_out(step, language)}"
    return f'<span class="xl-way">{way}</span>{weights}{_happens(step, traced, language)}'


def _happens(step: PathStep, traced: Traced, language: str) -> str:
    said = []
    if step.failed:
        said.append(_clash(step, traced, language))
    if step.is_island:
        why = text("flow.island.why", language, dtype=", ".join(step.dtypes_out))
        said.append(f'<span class="xl-island">{escaped(text("flow.island", language))}</span> {escaped(why)}')
    else:
        said += [_cast(cast, language) for cast in step.casts]
    for key, count in (("islands", step.islands), ("casts", step.casts_within)):
        if count:
            said.append(f'<span class="xl-inside">{escaped(text(f"flow.inside.{key}", language, n=count))}</span>')
    return "".join(f"<p>{line}</p>" for line in said)


def _cast(cast: Cast, language: str) -> str:
    if cast.operation == "autocast":
        how = text("flow.cast.autocast", language)
    elif cast.operation == "aten._to_copy":
        how = text("flow.cast", language)
    else:  # not told to cast: it took two types and gave one back
        how = f"{text('flow.promotion', language)} ({cast.operation})"
    return f"{dtype_chip(cast.from_dtype)} {ARROW} {dtype_chip(cast.to_dtype)} {escaped(how)}"


def _clash(step: PathStep, traced: Traced, language: str) -> str:
    """The mismatch itself at the module that raised it; at the modules around, that it ended them."""
    clash = traced.flow.clash
    if clash is None or clash.module != step.name:
        return f'<span class="xl-failed">{escaped(text("flow.clash.inside", language))}</span>'
    met: dict[str, str] = {}
    for operand in reversed(clash.operands):  # the weight comes last, after its bias
        met.setdefault(operand.dtype, worded(operand.name, language))
    sides = [f"<code>{escaped(name)}</code> {dtype_chip(dtype)}" for dtype, name in met.items()]
    return f" {clash_mark(language)} ".join(sides[::-1]) + f" <code>{escaped(clash.operation or '')}</code>"


def _ending(traced: Traced, name: str, language: str) -> str:
    """How the run called `name` ended."""
    flow = traced.flow
    if flow.error is not None:
        said, kind = text("flow.ended", language, message=flow.error), "xl-failed"
    else:
        said, kind = text("flow.truncated" if flow.truncated else "flow.answered", language), "xl-quiet"
    return f'<p class="{kind}"><b>{escaped(name)}</b> {escaped(said)}</p>'
