"""How a store is named on the nodes of a cluster."""

from __future__ import annotations

import os
from collections.abc import Collection

from .. import Error, PathLike


def is_url(store: str) -> bool:
    return "://" in store


def absolute_store(store: PathLike) -> str:
    """The store's name for processes with other working folders."""
    store = os.fspath(store)
    if not store.startswith("lmdb://"):
        return store if is_url(store) else os.path.abspath(store)
    path, mark, query = store.removeprefix("lmdb://").partition("?")
    return f"lmdb://{os.path.abspath(path)}{mark}{query}"


def check_store(what: str, store: str, hosts: Collection[str]) -> None:
    """Raises Error for a store that is one machine's and nodes on several. `what` it is to them: store, start."""
    if store.startswith("lmdb://") and len(hosts) > 1:
        raise Error(
            f"{what}: expected postgresql://… or a folder that all nodes share, as there are nodes on {len(hosts)} hosts "
            f"({', '.join(sorted(hosts)[:4])}), found {store}; an LMDB store is one machine's"
        )
