"""Compilation of a document to a function of an ordinary record.

Trees become nested statements, and sums become expressions. Each value and each order of operations is that of the
complete evaluation, so both give the same results, bit by bit. A form without a compiled function raises NotCompiled.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from stellar.models.compiled.ensembles import (
    MOST_NODES,
    check_segment,
    count_nodes,
    find_categories,
    find_common_categories,
    find_segment_target,
    list_trees,
    list_weights,
    read_score,
    read_shares,
)
from stellar.models.compiled.expressions import write_expression
from stellar.models.compiled.fields import LocalValue, NotCompiled, compare, find_kind, read_field
from stellar.models.compiled.trees import write_tree
from stellar.models.evaluation.model import is_input
from stellar.models.evaluation.regression import INVERSES, find_normalization, logistic
from stellar.models.evaluation.targets import TargetField, find_targets
from stellar.models.forms.bodies import EnsembleForm, Equation, RegressionForm, Term, TreeForm, TreeNode
from stellar.models.forms.fields import DataField, DerivedField, FieldType, MiningField
from stellar.models.forms.model import ModelDocument, ModelForm
from stellar.models.values import identity, name_share, round_single
from stellar.util.function_builder import FunctionBuilder, call, constant, load

Record = Mapping[str, Any]
Score = Callable[[Record], dict[str, Any]]
MOST_TERMS = 500  # of a sum, which is a nested expression


@dataclass(frozen=True, slots=True)
class WrittenNumber:
    """A predicted number, in a variable."""

    name: str


@dataclass(frozen=True, slots=True)
class WrittenShares:
    """Shares of categories, and the winner, in variables."""

    categories: tuple[Any, ...]
    names: tuple[str, ...]
    winner: str


Written = WrittenNumber | WrittenShares


@dataclass(slots=True)
class _Variables(Mapping[str, LocalValue]):
    """The variables of fields, which are declared on first use.

    data: fields of the record, with their use by the model
    used: fields of the record that the code uses
    """

    builder: FunctionBuilder
    data: Mapping[str, tuple[DataField, MiningField]]
    derived: dict[str, DerivedField]
    used: dict[str, LocalValue] = field(default_factory=dict)
    known: dict[str, LocalValue] = field(default_factory=dict)

    def __getitem__(self, name: str) -> LocalValue:
        if name in self.known:
            return self.known[name]
        if name in self.derived:
            form = self.derived.pop(name)
            self.known[name] = write_expression(form, self, self.builder)
        else:
            local = LocalValue(self.builder.new_name("v"), find_kind(*self.data[name]))
            self.known[name] = self.used[name] = local
        return self.known[name]

    def __contains__(self, name: object) -> bool:
        return name in self.known or name in self.derived or name in self.data

    def __iter__(self) -> Any:
        return iter({**self.known, **self.derived, **self.data})

    def __len__(self) -> int:
        return len({**self.known, **self.derived, **self.data})


class _ModelWriter:
    """The code of a document."""

    def __init__(self, document: ModelDocument, complete: Score) -> None:
        self.builder = FunctionBuilder("record")
        self.fields = {form.name: form for form in document.fields}
        inputs = {form.name: form for form in document.model.fields if is_input(form) and form.name in self.fields}
        data = {name: (self.fields[name], form) for name, form in inputs.items()}
        self.variables = _Variables(self.builder, data, {form.name: form for form in document.derived})
        self.fall_back = ast.Return(call(self.builder.bind(complete, "complete"), load("record")))
        self.document = document

    def write(self) -> Score:
        """Return the compiled function."""
        model = self.document.model
        with self.builder.block() as body:
            name, written, outputs = self.write_model(model, None)
            self.builder.return_value(_write_result(name, written, outputs, self.builder))
        self.builder.assign("get", ast.Attribute(load("record"), "get", ast.Load()))
        for used, local in self.variables.used.items():
            read_field(self.builder, *self.variables.data[used], local, self.fall_back)
        for statement in body:
            self.builder.add(statement)
        return self.builder.link("score_record")

    # -- Models -------------------------------------------------------------------------------------------------------

    def write_model(
        self, model: ModelForm, outer: FieldType | None
    ) -> tuple[str | None, Written, dict[str, tuple[LocalValue, bool]]]:
        """Add the code of a model. Return the name of its target, its prediction and its outputs."""
        if model.is_single or len(targets := find_targets(model, self.fields, outer)) != 1:
            raise NotCompiled
        (target,) = targets
        for form in model.derived:
            self._check_new(form.name)
            self.variables.derived[form.name] = form
        outputs: dict[str, tuple[LocalValue, bool]] = {}
        name = target.name
        if isinstance(model.body, EnsembleForm) and model.body.method == "modelChain":
            name, written, outputs = self._write_chain(model.body)
        else:
            written = self._write_body(model, target)
        if name == target.name:
            written = self._finish(written, model, target)
        outputs.update(self._write_outputs(model, written, target))
        return name, written, outputs

    def _check_new(self, name: str) -> None:
        """Raise NotCompiled for a field that hides another one."""
        if name in self.variables:
            raise NotCompiled

    def _write_body(self, model: ModelForm, target: TargetField) -> Written:
        match model.body:
            case RegressionForm():
                return self._write_regression(model.body, model, target)
            case TreeForm():
                return self._write_single_tree(model.body, model, target)
            case EnsembleForm():
                return self._write_ensemble(model.body, model, target)
        raise NotCompiled

    def _finish(self, written: Written, model: ModelForm, target: TargetField) -> Written:
        """Add the change of a number by the target."""
        if isinstance(written, WrittenShares):
            return written
        if target.type is not None and target.type.data != "double":
            raise NotCompiled
        if not model.targets:
            return written
        changed = self.builder.bind(target.finish_number, "finish")
        return WrittenNumber(self.builder.assign_new("y", call(changed, load(written.name))))

    def _write_outputs(
        self, model: ModelForm, written: Written, target: TargetField
    ) -> dict[str, tuple[LocalValue, bool]]:
        outputs = {}
        for form in model.outputs:
            if form.target not in (None, target.name) or form.segment is not None:
                raise NotCompiled
            kind = None if form.type is None else form.type.data
            if form.feature == "predictedValue" and isinstance(written, WrittenNumber) and kind in (None, "double"):
                local = LocalValue(written.name, "double")
            elif form.feature == "probability" and isinstance(written, WrittenShares) and form.value is not None:
                local = self._find_share(written, target.parse(form.value, form.origin), kind)
            elif form.feature == "transformedValue" and form.expression is not None and form.type is not None:
                derived = DerivedField(form.name, form.type, form.expression, form.origin)
                local = write_expression(derived, self.variables, self.builder)
                if local.kind != "double":
                    raise NotCompiled
            else:
                raise NotCompiled
            self._check_new(form.name)
            self.variables.known[form.name] = local
            outputs[form.name] = (local, form.is_final)
        return outputs

    def _find_share(self, written: WrittenShares, category: Any, kind: str | None) -> LocalValue:
        if kind not in (None, "double") or category not in written.categories:
            raise NotCompiled
        return LocalValue(written.names[written.categories.index(category)], "double")

    # -- Regression ---------------------------------------------------------------------------------------------------

    def _write_regression(self, form: RegressionForm, model: ModelForm, target: TargetField) -> Written:
        sums = [self._write_sum(equation) for equation in form.equations]
        if model.function != "classification":
            if form.normalization == "none":
                return WrittenNumber(self.builder.assign_new("y", sums[0]))
            inverse = self.builder.bind(INVERSES[form.normalization], "inverse")
            return WrittenNumber(
                self.builder.assign_new("y", call(inverse, sums[0], self.builder.bind(identity, "identity")))
            )
        categories = tuple(target.parse(equation.category or "", equation.origin) for equation in form.equations)
        if len(sums) == 2 and form.normalization == "logit" and not target.is_ordinal:
            first = self.builder.assign_new("p", call(self.builder.bind(logistic, "logistic"), sums[0]))
            second = self.builder.assign_new("p", ast.BinOp(constant(1.0), ast.Sub(), load(first)))
            return WrittenShares(categories, (first, second), self._write_winner(categories, (first, second)))
        names = tuple(self.builder.new_name("p") for _ in categories)
        normalize = self.builder.bind(find_normalization(form, target, identity), "normalize")
        self.builder.unpack(names, call(normalize, ast.List(sums, ast.Load())))
        return WrittenShares(categories, names, self._write_winner(categories, names))

    def _write_sum(self, form: Equation) -> ast.expr:
        if len(form.terms) > MOST_TERMS:
            raise NotCompiled
        total: ast.expr = constant(0.0)
        for term in form.terms:
            total = ast.BinOp(total, ast.Add(), self._write_term(term))
        return ast.BinOp(total, ast.Add(), constant(form.intercept))

    def _write_term(self, term: Term) -> ast.expr:
        (name, exponent), *others = term.factors
        if others or exponent != 1 or name not in self.variables:
            raise NotCompiled
        local = self.variables[name]
        if term.category is not None:
            if local.kind != "string":
                raise NotCompiled
            test = compare(load(local.name), ast.Eq(), constant(term.category))
            return ast.IfExp(test, constant(term.coefficient), constant(0.0))
        if local.kind == "string":
            raise NotCompiled
        value = load(local.name)
        if local.kind == "float":
            value = call(self.builder.bind(round_single, "round_single"), value)
        return ast.BinOp(constant(term.coefficient), ast.Mult(), value)

    def _write_winner(self, categories: tuple[Any, ...], names: tuple[str, ...]) -> str:
        """Add the choice of the first category with the largest share. Return its variable."""
        winner = self.builder.assign_new("winner", constant(categories[0]))
        best = self.builder.assign_new("best", load(names[0]))
        for category, name in zip(categories[1:], names[1:], strict=True):
            with self.builder.if_true(compare(load(name), ast.Gt(), load(best))):
                self.builder.assign(best, load(name))
                self.builder.assign(winner, constant(category))
        return winner

    # -- Trees --------------------------------------------------------------------------------------------------------

    def _write_single_tree(self, form: TreeForm, model: ModelForm, target: TargetField) -> Written:
        if model.function != "classification":
            name = self.builder.new_name("y")
            self._add_tree(form, lambda node: [_assign(name, constant(read_score(node)))])
            return WrittenNumber(name)
        categories = find_categories(form, target)
        names = tuple(self.builder.new_name("p") for _ in categories)
        winner = self.builder.new_name("winner")

        def write_leaf(node: TreeNode) -> list[ast.stmt]:
            shares = read_shares(node)
            score = node.score if node.score is not None else None
            chosen = categories[shares.index(max(shares))] if score is None else target.parse(score, node.origin)
            values = zip(names, shares, strict=True)
            return [_assign(winner, constant(chosen)), *(_assign(name, constant(share)) for name, share in values)]

        self._add_tree(form, write_leaf)
        return WrittenShares(categories, names, winner)

    def _add_tree(self, form: TreeForm, write_leaf: Callable[[TreeNode], list[ast.stmt]]) -> None:
        # the code of a tree is a list before it is added, as fields are declared before it
        for statement in write_tree(form, self.variables, self.builder, write_leaf, lambda: [self.fall_back]):
            self.builder.add(statement)

    # -- Ensembles ----------------------------------------------------------------------------------------------------

    def _write_chain(self, form: EnsembleForm) -> tuple[str | None, Written, dict[str, tuple[LocalValue, bool]]]:
        for segment in form.segments:
            check_segment(segment)
            name, written, outputs = self.write_model(segment.model, None)
        # Results of the last segment are those of the chain, whether they are final or not
        return name, written, {output: (local, True) for output, (local, _) in outputs.items()}

    def _write_ensemble(self, form: EnsembleForm, model: ModelForm, target: TargetField) -> Written:
        bodies = list_trees(form, model, self.fields)
        weights, divisor = list_weights(form)
        if model.function == "classification":
            return self._write_average_shares(form, bodies, target)
        if form.method not in ("sum", "average", "weightedSum", "weightedAverage"):
            raise NotCompiled
        total = self.builder.assign_new("total", constant(0.0))
        for body, weight in zip(bodies, weights, strict=True):
            self._add_tree(body, _write_addition(total, weight))
        if form.method in ("sum", "weightedSum"):
            return WrittenNumber(total)
        quotient = ast.BinOp(load(total), ast.Div(), constant(divisor))
        return WrittenNumber(self.builder.assign_new("y", quotient))

    def _write_average_shares(self, form: EnsembleForm, bodies: list[TreeForm], target: TargetField) -> Written:
        if form.method not in ("average", "weightedAverage"):
            raise NotCompiled
        categories = find_common_categories(bodies, find_segment_target(form, self.fields, target))
        weights, divisor = list_weights(form)
        names = tuple(self.builder.assign_new("total", constant(0.0)) for _ in categories)
        for body, weight in zip(bodies, weights, strict=True):
            self._add_tree(body, _write_additions(names, weight))
        quotients = [ast.BinOp(load(name), ast.Div(), constant(divisor)) for name in names]
        shares = tuple(self.builder.assign_new("p", quotient) for quotient in quotients)
        return WrittenShares(categories, shares, self._write_winner(categories, shares))


def _assign(name: str, value: ast.expr) -> ast.stmt:
    return ast.Assign([ast.Name(name, ast.Store())], value)


def _add(name: str, value: float) -> ast.stmt:
    return ast.AugAssign(ast.Name(name, ast.Store()), ast.Add(), constant(value))


def _write_addition(total: str, weight: float) -> Callable[[TreeNode], list[ast.stmt]]:
    return lambda node: [_add(total, read_score(node) * weight)]


def _write_additions(names: tuple[str, ...], weight: float) -> Callable[[TreeNode], list[ast.stmt]]:
    def write(node: TreeNode) -> list[ast.stmt]:
        # adding 0 changes nothing
        return [_add(name, weight * share) for name, share in zip(names, read_shares(node), strict=True) if share] or [
            ast.Pass()
        ]

    return write


def _write_result(
    name: str | None, written: Written, outputs: dict[str, tuple[LocalValue, bool]], builder: FunctionBuilder
) -> ast.expr:
    if isinstance(written, WrittenNumber):
        items = {name or "prediction": written.name}
    else:
        items = {name or "prediction": written.winner}
        for category, share in zip(written.categories, written.names, strict=True):
            items[name_share(category)] = share
    items.update({output: local.name for output, (local, is_final) in outputs.items() if is_final})
    return ast.Dict([constant(key) for key in items], [load(local) for local in items.values()])


def compile_score(document: ModelDocument, complete: Score) -> Score:
    """Return the function of an ordinary record.

    complete: scores all other records
    Raise NotCompiled for a document without such a function.
    """
    if count_nodes(document.model) > MOST_NODES:
        raise NotCompiled
    return _ModelWriter(document, complete).write()
