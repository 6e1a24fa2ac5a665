"""The languages for comparison, each used as its documentation recommends: compiled once, evaluated many times.

stellar                       this project
cel-python                    Google's CEL, in Python; with its faster, compiled runner where possible
cel-expr-python               Google's CEL, in C++; the types of all fields are declared
common-expression-language    CEL in Rust; variables by resolver, so that it converts only the fields that a rule reads
pyVRL                         VRL, the language of Vector, in Rust; converts the whole record
zen-engine                    the expressions of GoRules' decision tables, in Rust; no functions of others
rule-engine                   rules over objects
simpleeval                    Python's own expressions, made safe
evalidate                     Python's own expressions, checked once and compiled by Python
jmespath                      queries over JSON; no arithmetic

A function that a task needs and a language lacks (trimming, the host of a URL) is added as a Python function.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from benchmarks.tasks import Record, host

Evaluate = Callable[[Record], Any]
Compile = Callable[[str], Evaluate]


@dataclass(frozen=True)
class Peer:
    """A language: its name on PyPI, the module to import, and how to get its compile function.

    load: raises ImportError if it is not installed
    """

    name: str
    module: str
    load: Callable[[], Compile]


def stellar() -> Compile:
    from stellar import compile as compile_rule

    return compile_rule


def cel_python() -> Compile:
    import celpy
    from celpy import celtypes
    from celpy.adapter import json_to_cel

    def trim(text: str) -> Any:
        return celtypes.StringType(text.strip())

    def upper(text: str) -> Any:
        return celtypes.StringType(text.upper())

    def url_to_host(url: str) -> Any:
        return celtypes.StringType(host(url))

    functions = {"trim": trim, "upper": upper, "url_to_host": url_to_host}
    compiled = celpy.Environment(runner_class=celpy.CompiledRunner)
    interpreted = celpy.Environment()  # the compiled runner cannot call added functions

    def compile_rule(text: str) -> Evaluate:
        environment = interpreted if any(f"{name}(" in text for name in functions) else compiled
        program = environment.program(environment.compile(text), functions)
        return lambda record: program.evaluate(json_to_cel(record))

    return compile_rule


def cel_expr_python() -> Compile:
    from cel_expr_python import cel
    from cel_expr_python.ext.ext_strings import ExtStrings

    kind = cel.Type
    fields = {
        **dict.fromkeys(("y", "s", "url", "ip_src_addr"), kind.STRING),
        **dict.fromkeys(("f", "g"), kind.DOUBLE),
        "x": kind.INT,
        "l": kind.List(kind.INT),
        "m": kind.Map(kind.STRING, kind.DYN),
    }
    overload = cel.Overload("url_to_host(string)", kind.STRING, [kind.STRING], impl=host)
    function = cel.FunctionDecl("url_to_host", [overload])
    environment = cel.NewEnv(variables=fields, functions=[function], extensions=[ExtStrings()])

    def compile_rule(text: str) -> Evaluate:
        evaluate = environment.compile(text).eval
        return lambda record: evaluate(data=record).plain_value()

    return compile_rule


def common_expression_language() -> Compile:
    import cel
    from cel.stdlib import add_stdlib_to_context

    context = cel.Context()
    add_stdlib_to_context(context)
    context.add_function("url_to_host", host)

    def compile_rule(text: str) -> Evaluate:
        program = cel.compile(text)

        def evaluate(record: Record) -> Any:
            context.set_variable_resolver(record.get)
            return program.execute(context)

        return evaluate

    return compile_rule


def pyvrl() -> Compile:
    from pyvrl import Transform

    return lambda text: Transform(text).remap


def zen_engine() -> Compile:
    from zen import compile_expression

    return lambda text: compile_expression(text).evaluate


def rule_engine() -> Compile:
    from rule_engine import Context, Rule
    from rule_engine.builtins import Builtins

    context = Context(default_value=None)
    context.builtins = Builtins.from_defaults({"trim": str.strip, "url_to_host": host})
    return lambda text: Rule(text, context=context).evaluate


def simpleeval() -> Compile:
    from simpleeval import EvalWithCompoundTypes

    evaluator = EvalWithCompoundTypes(functions={"url_to_host": host})

    def compile_rule(text: str) -> Evaluate:
        parsed = evaluator.parse(text)

        def evaluate(record: Record) -> Any:
            evaluator.names = record
            return evaluator.eval(text, previously_parsed=parsed)

        return evaluate

    return compile_rule


def evalidate() -> Compile:
    from evalidate import Expr, mult_eval_model

    model = mult_eval_model.clone()
    model.nodes += ["Mult", "Call", "Attribute", "List", "ListComp", "comprehension", "Store"]
    model.attributes += ["strip", "upper", "get"]
    model.imported_functions["url_to_host"] = host
    functions = dict(model.imported_functions)

    def compile_rule(text: str) -> Evaluate:
        code = Expr(text, model=model).code
        return lambda record: eval(code, functions, record)  # as its documentation recommends for speed

    return compile_rule


def jmespath() -> Compile:
    import jmespath as jmes
    from jmespath import functions

    class AddedFunctions(functions.Functions):
        @functions.signature({"types": ["string"]})
        def _func_trim(self, text: str) -> str:
            return text.strip()

        @functions.signature({"types": ["string"]})
        def _func_upper(self, text: str) -> str:
            return text.upper()

        @functions.signature({"types": ["string"]})
        def _func_url_to_host(self, url: str) -> str | None:
            return host(url)

    options = jmes.Options(custom_functions=AddedFunctions())

    def compile_rule(text: str) -> Evaluate:
        search = jmes.compile(text).search
        return lambda record: search(record, options=options)

    return compile_rule


PEERS = (
    Peer("stellar", "stellar", stellar),
    Peer("cel-python", "celpy", cel_python),
    Peer("cel-expr-python", "cel_expr_python.cel", cel_expr_python),
    Peer("common-expression-language", "cel", common_expression_language),
    Peer("pyVRL", "pyvrl", pyvrl),
    Peer("zen-engine", "zen", zen_engine),
    Peer("rule-engine", "rule_engine", rule_engine),
    Peer("simpleeval", "simpleeval", simpleeval),
    Peer("evalidate", "evalidate", evalidate),
    Peer("jmespath", "jmespath", jmespath),
)


def load_peers() -> dict[str, Compile | None]:
    """Return the compile function of each peer; None if it is not installed."""
    return {peer.name: _load(peer) for peer in PEERS}


def _load(peer: Peer) -> Compile | None:
    try:
        return peer.load()
    except ImportError:
        return None
