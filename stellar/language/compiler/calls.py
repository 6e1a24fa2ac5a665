"""Code of calls of functions: their arguments, with guards, and what is done once for arguments that are literals."""

from __future__ import annotations

import ast
import builtins
from functools import partial, reduce
from typing import Any, NamedTuple

from stellar.language import nodes as n
from stellar.language import runtime
from stellar.language.compiler import pyast as py
from stellar.language.compiler.analysis import accepts_every_value, constant_collection, static_class
from stellar.language.compiler.builder import CodeBuilder, PreparedCall
from stellar.language.compiler.pyast import Code, HeldValue, Position
from stellar.language.inline import Classes, Inline, list_classes
from stellar.language.library import UNKNOWN, Function, Kind, Written


class Argument(NamedTuple):
    """An argument of a call, at a position."""

    function: Function
    position: int
    node: n.Expr

    @property
    def kind(self) -> Kind:
        """The type of the parameter."""
        return self.function.parameter_at(self.position).kind

    @property
    def is_borrowed(self) -> bool:
        """True if a list or map is neither changed, kept nor returned."""
        return self.function.borrows_at(self.position)


class CallBuilder(CodeBuilder):
    """The part of the compiler that compiles calls of functions.

    strict: reading a field that the record does not have is an error
    fast: write operators inline
    """

    fast: bool
    strict: bool

    def compile_plain_call(self, function: Function, arguments: tuple[n.Expr, ...], at: Position) -> Code:
        call = self.prepare_function(function, arguments)
        passed = [
            Argument(function, index, argument)
            for index, argument in enumerate(arguments)
            if call is None or not isinstance(argument, n.Literal)
        ]
        if call is None:
            name, target, forms = f"f_{function.name}", function.implementation, function.inline
        else:
            name, (target, forms) = self.new_name(f"f_{function.name}_"), call.prepared
            self.prepared[name] = call
        context: list[Code] = [py.load("context", at)] if function.needs_context else []
        if self.fast and forms and (inline := self.choose_form(forms, passed)) is not None:
            return self.compile_inline(inline, passed, self.bind_global(target, name, at), context, at)
        code = context
        for argument in passed:  # a comprehension would need more of the stack in nested calls
            compiled = self.compile_argument(argument)
            is_looped = argument.position + 1 < len(arguments) and isinstance(
                arguments[argument.position + 1], n.Lambda
            )
            code.append(self.count_elements(compiled, at) if is_looped else compiled)
        return py.call(self.bind_global(target, name, at), code, at)

    def prepare_function(self, function: Function, arguments: tuple[n.Expr, ...]) -> PreparedCall | None:
        """Return a function of the arguments that are not literals; None if the literals can't be processed now."""
        if not self.fast or function.prepare is None:
            return None
        literals = [argument.value if isinstance(argument, n.Literal) else UNKNOWN for argument in arguments]
        if all(value is UNKNOWN for value in literals):
            return None
        for index, value in enumerate(literals):
            if value is not UNKNOWN and not function.parameter_at(index).kind.accepts(value):
                return None
        prepared = function.prepare_call(literals)
        return None if prepared is None else PreparedCall(function.name, literals, prepared)

    def is_safe_read(self, node: n.Expr) -> bool:
        """Return True for a variable whose read raises no error."""
        return isinstance(node, n.Variable) and not self.strict

    # -- Inline forms -------------------------------------------------------------------------------------------------

    def choose_form(self, forms: tuple[Inline, ...], arguments: list[Argument]) -> Inline | None:
        """Return the inline form for some arguments; None if there is none.

        All arguments are evaluated before the first is checked, so an argument after one that may be refused must not
        raise an error of its own.
        """
        is_checked = False
        for argument in arguments:
            if is_checked and not isinstance(argument.node, n.Literal) and not self.is_safe_read(argument.node):
                return None
            is_checked = is_checked or not accepts_every_value(argument.kind, argument.node, self.library)
        return next((form for form in forms if _fits(form, arguments)), None)

    def compile_inline(
        self, inline: Inline, arguments: list[Argument], target: Code, context: list[Code], at: Position
    ) -> Code:
        """Compile a call to an inline form for arguments of its classes, and a call of the function for all others."""
        held = [self.hold_argument(argument) for argument in arguments]
        if not all(map(_may_have_class, inline.classes.values(), held)):
            checked = [self.guard_held(argument, value) for argument, value in zip(arguments, held, strict=True)]
            return py.call(target, [*context, *checked], at)
        if len(held) == 1 and (guarded := _find_guarded(inline, held[0])) is not None:
            [name] = inline.classes
            code = self.fill_template(inline, {name: guarded.body}, inline.tree, at=at)
            slow = guarded.orelse
            if not accepts_every_value(arguments[0].kind, arguments[0].node, self.library):
                slow = self.guard_argument(arguments[0], self.hold_code(slow, at))
            return py.guard(guarded.test, code, py.call(target, [*context, slow], at), inline.result, at)
        guards: list[Code] = []
        for value, classes, argument in zip(held, inline.classes.values(), arguments, strict=True):
            if classes is not None and not _is_constant(argument.node, value):
                guards.append(self.test_classes(value, self.order_classes(classes, argument.node), at))
        names = dict(zip(inline.classes, (value.again for value in held), strict=True))
        fill = partial(self.fill_template, inline, names, at=at)
        # `&` evaluates both of its operands
        tests = [reduce(lambda one, other: ast.BinOp(one, ast.BitAnd(), other, **at), guards)] if guards else []
        if inline.condition is not None:
            tests.append(fill(inline.condition))
        code = fill(inline.tree)
        if not tests:
            return code
        test = tests[0] if len(tests) == 1 else py.all_of(tests, at)
        again = [HeldValue(value.again, value.again) for value in held]
        others = [self.guard_held(argument, value) for argument, value in zip(arguments, again, strict=True)]
        return py.guard(test, code, py.call(target, [*context, *others], at), inline.result, at)

    def guard_held(self, argument: Argument, held: HeldValue) -> Code:
        """Return the code of an argument of a call of the function."""
        if isinstance(argument.node, n.Literal):
            return self.compile_argument(argument)
        return self.guard_argument(argument, held)

    def order_classes(self, classes: type | tuple[type, ...], node: n.Expr) -> tuple[type, ...]:
        """Return classes with the likeliest one first."""
        likeliest = static_class(node, self.library)
        return tuple(sorted(list_classes(classes), key=lambda cls: cls is not likeliest))

    def hold_argument(self, argument: Argument) -> HeldValue:
        """Hold an argument before it is checked."""
        if argument.is_borrowed:
            return self.hold_borrowed(argument.node)
        return self.hold(argument.node)

    def fill_template(self, inline: Inline, names: dict[str, Code], node: ast.expr, *, at: Position) -> Code:
        """Return a copy of the syntax tree of an inline form, with its names replaced.

        names: the code of each name; new locals are added
        """
        match node:
            case ast.Name(name):
                if name not in names:
                    names[name] = self.bind_value(inline, name, at)
                return names[name]
            case ast.NamedExpr(ast.Name(name), value):
                local = self.new_name("t")
                names[name] = py.load(local, at)
                return py.assign(local, self.fill_template(inline, names, value, at=at), at)
        copied = py.new_node(type(node))
        attributes = {name: self.fill_field(inline, names, getattr(node, name), at) for name in node._fields}
        copied.__dict__ = {**attributes, **at}
        return copied

    def fill_field(self, inline: Inline, names: dict[str, Code], value: Any, at: Position) -> Any:
        if isinstance(value, list):
            return [self.fill_field(inline, names, each, at) for each in value]
        return self.fill_template(inline, names, value, at=at) if isinstance(value, ast.expr) else value

    def bind_value(self, inline: Inline, name: str, at: Position) -> Code:
        """Return the code of a name that is no argument: one of the values of the form, or a function of Python."""
        if name not in inline.values:
            return self.bind_global(getattr(builtins, name), name, at)
        value = inline.values[name]
        if isinstance(value, str | int):
            return py.constant(value, at)
        return self.bind_global(value, self.new_name(f"{name}_"), at)

    # -- Arguments ----------------------------------------------------------------------------------------------------

    def compile_argument(self, argument: Argument) -> Code:
        """Compile an argument, with a guard unless the parameter accepts every value of the node."""
        function, index, node = argument
        kind = argument.kind
        at = self.source_map[node.span]
        if Written in kind.classes and isinstance(node, n.Literal) and isinstance(node.value, str):
            return self.bind_global(Written(node.value), self.new_name("written"), at)
        if accepts_every_value(kind, node, self.library):
            constant = self.bind_constant(node) if argument.is_borrowed else None
            return self.compile(node) if constant is None else constant
        if not self.fast:
            return py.call(self.bind_check(function, index, at), [self.compile(node)], at)
        return self.guard_argument(argument, self.hold(node))

    def guard_argument(self, argument: Argument, held: HeldValue) -> Code:
        """Return the code of a held argument, with a guard unless the parameter accepts every value of the node."""
        function, index, node = argument
        kind = argument.kind
        if accepts_every_value(kind, node, self.library):
            return held.first
        at = self.source_map[node.span]
        if kind.converted:
            guard = self.test_own(held.first, at)
        else:
            guard = self.test_classes(held, kind.classes[:2] if kind.classes[0] is float else kind.classes[:1], at)
        return py.conditional(guard, held.again, py.call(self.bind_check(function, index, at), [held.again], at), at)

    def bind_constant(self, node: n.Expr) -> Code | None:
        """Create the list or map of a literal of constants now; return None for any other node."""
        constant = constant_collection(node) if self.fast else None
        if constant is None:
            return None
        return self.bind_global(constant, self.new_name("constant"), self.source_map[node.span])

    def hold_borrowed(self, node: n.Expr) -> HeldValue:
        """Hold a value that is neither changed nor kept."""
        constant = self.bind_constant(node)
        return self.hold(node) if constant is None else HeldValue(constant, constant)

    def bind_check(self, function: Function, index: int, at: Position) -> Code:
        """Return the name of a function that checks an argument, or converts it if any value is accepted."""
        check = runtime.accept if function.parameter_at(index).kind.classes else runtime.read_argument
        return self.bind_global(partial(check, function, index), f"accept_{function.name}_{index}", at)


def _fits(inline: Inline, arguments: list[Argument]) -> bool:
    """Return True for as many arguments as an inline form has, of which those whose class is known fit it."""
    classes = inline.classes.values()
    return len(arguments) == len(classes) and all(map(_may_fit, classes, arguments))


def _may_fit(classes: Classes, argument: Argument) -> bool:
    node = argument.node
    if classes is None:
        return isinstance(node, n.Literal)
    accepted = list_classes(classes)
    match node:
        case n.Literal(value):
            return value.__class__ in accepted
        case n.ListLiteral():
            return list in accepted
        case n.MapLiteral():
            return dict in accepted
    return True


def _may_have_class(classes: Classes, held: HeldValue) -> bool:
    """Return False for a constant of another class, for which Python may warn of the inline form."""
    if classes is None or not isinstance(held.first, ast.Constant):
        return True
    return held.first.value.__class__ in list_classes(classes)


def _find_guarded(inline: Inline, held: HeldValue) -> ast.IfExp | None:
    """Return the code of the only argument of an inline form, if its class is known and it is read once."""
    [(name, classes)] = inline.classes.items()
    if inline.when or inline.reads[name] != 1 or classes is None:
        return None
    return py.find_guarded(held, list_classes(classes))


def _is_constant(node: n.Expr, held: HeldValue) -> bool:
    """Return True for a constant, and for a list or map that is created once."""
    if isinstance(held.first, ast.Constant):
        return True
    return isinstance(node, n.ListLiteral | n.MapLiteral) and held.first is held.again
