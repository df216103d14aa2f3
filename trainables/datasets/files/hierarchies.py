"""Named arrays of HDF5 files: any file's own, and those of AnnData and MuData, which have a place for each kind.

An array counts once, however many links lead to it: under any of its names it is the same target, and no feature.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainables.datasets.base import DataError
from trainables.datasets.files.encodings import encoding_of, frame_columns, frame_index, read_member, shape_of, text_of
from trainables.datasets.files.hdf5 import arrays_of, is_array, names_in, opened
from trainables.datasets.files.reading import NamedArrays

_SHOWN = 20  # names in a message
_TABLES = ("obsm", "layers")  # groups of matrices with a row for each sample


class HdfArrays(NamedArrays):
    """The arrays of an HDF5 file by the last part of their path, or by all of it where that is one of several.

    Of AnnData these are `X`, what is in `layers` and `obsm`, and the columns of `obs`; of MuData the same of every
    modality below its name, as in `rna/X`, and those of all.

    Raises:
        DataError: it is not readable, or has none.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._modalities: tuple[str, ...] = ()  # of MuData
        with opened(path) as file:
            self._kind = encoding_of(file).lower()
            if self._kind == "mudata":
                self._modalities = tuple(map(text_of, file["mod"].attrs.get("mod-order", names_in(file["mod"]))))
                if file.attrs.get("axis", 0) not in (0, -1):
                    raise DataError(f"{path} holds modalities that share features, and not samples; these are no pairs")
                shapes = _annotated(path, file, "", besides=self._modalities)
                for name in self._modalities:
                    shapes |= _annotated(path, file[f"mod/{name}"], f"mod/{name}/")
            elif self._kind == "anndata" or (path.suffix.lower() == ".h5ad" and "obs" in file):
                self._kind = "anndata"
                shapes = _annotated(path, file, "")
            else:
                shapes = arrays_of(file)
        if not shapes:
            raise DataError(f"{path} holds no arrays; give a file with one for each modality and target")
        last = Counter(place.rpartition("/")[2] for place in shapes)
        self._keys = {}  # by the path, without `mod/`
        for place in shapes:
            whole, short = self._whole(place), place.rpartition("/")[2]
            self._keys[whole] = short if last[short] == 1 else whole
        self._places = {self._keys[self._whole(place)]: place for place in shapes}
        self._shapes = {name: shapes[place] for name, place in self._places.items()}

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)

    def __contains__(self, name: object) -> bool:
        if not isinstance(name, str) or not name.startswith("/"):
            return name in self._places
        with opened(self._path) as file:
            return _at(file, name) is not None

    def __getitem__(self, name: str) -> NDArray[Any]:
        place = self._places.get(name, name)
        with opened(self._path) as file:
            node = _at(file, place) if name in self._places or name.startswith("/") else None
            if node is None:
                raise KeyError(name)
            place = place.strip("/")
            if self._modalities and place.startswith("mod/"):
                self._check_rows(file, place.split("/")[1])
            return read_member(f"{self._path}: array {name!r}", self._path, node)

    def shape(self, name: str) -> tuple[int, ...]:
        """Shape of the named array, its data unread."""
        return self._shapes[name]

    def key(self, name: str) -> str:
        """The name under which the array at a path, `/obsm/X_pca`, is listed, whatever link leads to it; the path from
        the root, `/raw/X`, where the file has something there that is not listed.
        """
        whole = self._whole(name.strip("/"))
        if whole in self._keys or name in self._places:
            return self._keys.get(whole, name)
        with opened(self._path) as file:
            for place in (name.strip("/"), *([f"mod/{whole}"] if self._modalities else [])):
                if (node := _at(file, place)) is not None:
                    listed = (key for key, other in self._places.items() if _at(file, other) == node)
                    return next(listed, f"/{place}")
        return name

    def default_modalities(self) -> dict[str, str] | None:
        """Of MuData the matrix of each modality; of AnnData none, as all it has is made of one."""
        if self._modalities:
            return {name: key for name in self._modalities if (key := self.key(f"{name}/X")) in self._places}
        if self._kind != "anndata":
            return None
        tables = [name for name, shape in self._shapes.items() if len(shape) > 1]
        raise DataError(
            f"{self._path}: say which arrays are modalities, modalities: [{', '.join(tables[:2])}]; there are "
            f"{', '.join(tables[:_SHOWN])}"
        )

    def _whole(self, place: str) -> str:
        return place.removeprefix("mod/") if self._modalities else place

    def _check_rows(self, file: Any, modality: str) -> None:
        """Refuse a modality that lacks some of the samples, or has them in another order."""
        rows = file.get(f"obsmap/{modality}")
        at = self._rows_by_name(file, modality) if rows is None else np.asarray(rows).reshape(-1)
        if at is None or np.array_equal(at, np.arange(1, len(at) + 1)):
            return
        lacking = int((at == 0).sum())
        what = f"lacks {lacking} of the {len(at)} samples" if lacking else "has the samples in another order"
        raise DataError(
            f"{self._path}: modality {modality} {what}; keep those that all have, in one order, with "
            "muon.pp.intersect_obs, and write the file again"
        )

    def _rows_by_name(self, file: Any, modality: str) -> NDArray[np.int64] | None:
        """For each sample its row in the modality, from 1 on, 0 for none; None where samples have no names."""
        found = [_at(file, f"{place}obs") for place in ("", f"mod/{modality}/")]
        nodes = [None if one is None or is_array(one) else one.get(frame_index(one)) for one in found]
        if any(node is None for node in nodes):
            return None
        whole, own = (read_member(f"{self._path}: names of samples", self._path, node).tolist() for node in nodes)
        row_of = {name: row for row, name in enumerate(own, start=1)}
        return np.array([row_of.get(name, 0) for name in whole], dtype=np.int64)


def _at(file: Any, place: str) -> Any | None:
    """What a file has at a path; None where there is nothing, or a link that leads nowhere."""
    return file.get(place) if place.strip("/") and "\0" not in place else None


def _annotated(path: Path, group: Any, prefix: str, *, besides: tuple[str, ...] = ()) -> dict[str, tuple[int, ...]]:
    """Shapes of the arrays of AnnData that have a row for each sample, by their paths; `besides` are none of them."""
    if "obs" in group and is_array(group["obs"]):
        raise DataError(f"{path} was written by anndata before 0.7; read it with anndata and write it again")
    members = ["X"] if "X" in group else []
    kinds = {kind: () if (node := group.get(kind)) is None or is_array(node) else names_in(node) for kind in _TABLES}
    members += [f"{kind}/{name}" for kind, names in kinds.items() for name in names if name not in besides]
    members += [f"obs/{name}" for name in (frame_columns(group["obs"]) if "obs" in group else ())]
    nodes = {member: _at(group, member) for member in members}  # a link that leads nowhere may be of no use to anybody
    shapes = {f"{prefix}{member}": shape_of(node) for member, node in nodes.items() if node is not None}
    return {name: shape for name, shape in shapes.items() if shape is not None}
