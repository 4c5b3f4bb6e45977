"""`iondlms explain`: octets as a tree that a person can read."""

from __future__ import annotations

import json
import string
import sys
from pathlib import Path
from typing import Final

import click

from iondlms.errors import LocalError
from iondlms.trace import explain_pieces, read_text, render

__all__ = ["explain"]

_NOT_UNDERSTOOD: Final = 1
_HEX: Final = frozenset(string.hexdigits + " \t,;:-xX\\")


@click.command()
@click.argument("octets", nargs=-1, required=True, metavar="HEX...|FILE|-")
@click.option("--json", "as_json", is_flag=True, help="The tree as JSON.")
@click.option("--secrets", is_flag=True, help="Show passwords, which are blanked otherwise.")
@click.option("--data", is_flag=True, help="The octets are a bare Data value; some tags are APDUs too.")
def explain(octets: tuple[str, ...], as_json: bool, secrets: bool, data: bool) -> int:
    """Explain frames, APDUs or Data, and point at what is wrong in them.

    Takes hex in any usual form, a log with TX: and RX: lines, a --trace-file, or a file of raw octets; `-`
    reads standard input. Ends with 1 if something was wrong, with 2 if the input is not hex.

    A password shows as ********: its octets become 2A, and the FCS is the one of the frame as shown.

    \b
    iondlms explain 7E A0 07 03 03 93 8C 11 7E
    iondlms explain --data 090C07E2010A031319033E003C00
    iondlms explain session.txt
    """
    nodes = explain_pieces(read_text(_input(octets)), secrets=secrets, data=data)
    if as_json:
        click.echo(json.dumps([node.as_dict() for node in nodes], indent=2, ensure_ascii=False))
    else:
        click.echo(render(nodes), nl=False)
    return _NOT_UNDERSTOOD if any(node.errors for node in nodes) else 0


def _input(octets: tuple[str, ...]) -> bytes:
    """Return what is to be explained: standard input, a file's contents, or the arguments themselves."""
    if octets == ("-",):
        return sys.stdin.buffer.read()
    if len(octets) == 1:
        path = Path(octets[0])
        try:
            # A name is taken before hex: whoever has a file called C001 can see why.
            if path.is_file():
                return path.read_bytes()
        except (OSError, ValueError) as error:  # no name at all: hex may be longer than a name can be
            if not set(octets[0]) <= _HEX:
                raise LocalError(f"{octets[0][:60]}: {error}") from error
        if path.suffix or (len(path.parts) > 1 and not set(octets[0]) <= _HEX):
            raise LocalError(f"{octets[0][:60]}: there is no such file, and it is not hex")
    return " ".join(octets).encode()
