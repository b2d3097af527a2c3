"""Datalog in the syntax of clingo, and nothing beyond it: what is derived is one set, and always finite."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import clingo
from clingo import ast

from authz.files import Invalid, shown, text

KNOWN = frozenset(
    {
        ast.ASTType.Rule,
        ast.ASTType.Literal,
        ast.ASTType.SymbolicAtom,
        ast.ASTType.Comparison,
        ast.ASTType.Guard,
        ast.ASTType.Variable,
        ast.ASTType.SymbolicTerm,
    }
)
"""What rules are made of, beside atoms. Negation, choices, arithmetic and terms within terms are not Datalog."""

NOTHING = frozenset({ast.ASTType.Program, ast.ASTType.Comment})
"""What states nothing."""


class DatalogInvalid(Invalid):
    """A file or a fact is no Datalog."""


def place(said: str) -> tuple[str, str]:
    """What clingo says of a text (`<block>:3:5-9: error: ...`), as `:3:5` and the reason."""
    where, _, reason = said.partition(": ")
    return where.partition(">")[2].partition("-")[0], " ".join(reason.removeprefix("error: ").split())


def statements(path: Path) -> Iterator[ast.AST]:
    """The rules of a file, facts included, each checked.

    Raises:
        Invalid: With file, line and column.
    """
    name, found, said = shown(path), list[ast.AST](), list[str]()
    try:
        ast.parse_string(text(path), found.append, logger=lambda code, words: said.append(words))
    except RuntimeError as error:
        where, reason = place(said[0] if said else f": {error}")
        raise DatalogInvalid(f"{name}{where}", reason) from None
    for statement in found:
        if statement.ast_type not in NOTHING:
            _check(name, statement)
            yield statement


def fact(stated: str) -> str:
    """A fact in the one form in which it is kept.

    Raises:
        DatalogInvalid: It is none.
    """
    said = list[str]()
    try:
        symbol = clingo.parse_term(stated, logger=lambda code, words: said.append(words))
    except RuntimeError:
        raise DatalogInvalid(repr(stated), 'not a fact; write it like member("User::ann", "Group::staff")') from None
    if not _is_fact(symbol):
        raise DatalogInvalid(repr(stated), "a fact is a name with texts, numbers and plain names as its arguments")
    return str(symbol)


def _is_fact(symbol: clingo.Symbol) -> bool:
    return symbol.type is clingo.SymbolType.Function and bool(symbol.name) and symbol.positive and _plain(symbol)


def _plain(symbol: clingo.Symbol) -> bool:
    kinds = (clingo.SymbolType.String, clingo.SymbolType.Number)
    return all(each.type in kinds or _is_name(each) for each in symbol.arguments)


def _is_name(symbol: clingo.Symbol) -> bool:
    return symbol.type is clingo.SymbolType.Function and symbol.positive and bool(symbol.name) and not symbol.arguments


def _check(file: str, statement: ast.AST) -> None:
    if statement.ast_type is not ast.ASTType.Rule:
        raise _wrong(file, statement, "only rules and facts are Datalog")
    if not _is_head(statement.head):
        raise _wrong(file, statement, "a rule derives one atom; constraints, choices and alternatives are not Datalog")
    for node in _below(statement):
        _check_node(file, node)


def _is_head(head: ast.AST) -> bool:
    return head.ast_type is ast.ASTType.Literal and head.atom.ast_type is ast.ASTType.SymbolicAtom


def _check_node(file: str, node: ast.AST) -> None:
    if node.ast_type is ast.ASTType.Literal and node.sign != ast.Sign.NoSign:
        raise _wrong(file, node, "negation is not Datalog; say what is forbidden in a policy")
    if node.ast_type is ast.ASTType.SymbolicAtom:
        atom = node.symbol
        if atom.ast_type is not ast.ASTType.Function or atom.external:
            raise _wrong(file, atom, "an atom is a name with arguments")
        for argument in atom.arguments:
            if argument.ast_type not in (ast.ASTType.Variable, ast.ASTType.SymbolicTerm):
                raise _wrong(file, argument, "arguments are variables, texts, numbers and plain names")
    elif node.ast_type not in KNOWN:
        raise _wrong(file, node, f"{node.ast_type.name} is not Datalog")


def _below(node: ast.AST) -> Iterator[ast.AST]:
    """A node and all that it is made of, except for the inside of atoms, which is checked with them."""
    yield node
    if node.ast_type is ast.ASTType.SymbolicAtom:
        return
    for _, value in node.items():
        children: Sequence[object] = value if isinstance(value, ast.ASTSequence) else (value,)
        for child in children:
            if isinstance(child, ast.AST):
                yield from _below(child)


def _wrong(file: str, node: ast.AST, reason: str) -> DatalogInvalid:
    begin = node.location.begin
    return DatalogInvalid(f"{file}:{begin.line}:{begin.column}", f"{reason}: {node}")
