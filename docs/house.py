"""Draws the house: every package on its floor, every file as a room, every import between packages as a line.

    python docs/house.py docs/house.svg

Inside a folder a file stands above those files of the folder that it imports. Floors are those of the
contract "One way down" in pyproject.toml.
"""

from __future__ import annotations

import sys
import tomllib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path

import grimp

ROOT = Path(__file__).parents[1]
PACKAGE = "guardedit"
CONTRACT = "One way down"

# Sizes in SVG units. A letter of the small font is about 6 wide.
PAGE, MARGIN, GAP = 1640, 24, 14
ROOM_H, ROOM_GAP, LETTER, PAD = 18, 4, 5.6, 8
TITLE_H, FOLDER_W, INNER_W = 20, 250, 200
COLOURS = ("#e8eef7", "#eef5ea", "#fdf3e3", "#f7eaf0", "#eaf4f5", "#f3eff9", "#f4f4ee", "#eef0f2")


@dataclass
class Folder:
    """One folder: its files by level, the lowest first, and the folders in it."""

    name: str
    levels: list[list[str]] = field(default_factory=list)
    inner: list[Folder] = field(default_factory=list)

    @property
    def rooms(self) -> int:
        """Files of this folder alone."""
        return sum(map(len, self.levels))


@dataclass
class Box:
    """A rectangle on the page."""

    x: float
    y: float
    w: float
    h: float


def floors() -> list[list[str]]:
    """Package names by floor, the highest first, as pyproject.toml has them."""
    body = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    contracts = body["tool"]["importlinter"]["contracts"]
    layers = next(one["layers"] for one in contracts if one["name"] == CONTRACT)
    return [[name.strip() for name in layer.replace(":", "|").split("|")] for layer in layers]


def folder_of(graph: grimp.ImportGraph, name: str) -> Folder:
    """A package with its files by level; a module is a folder of one room."""
    children = sorted(graph.find_children(name))
    if not children:
        return Folder(name, [[name]])
    inner = [child for child in children if graph.find_children(child)]
    files = [child for child in children if child not in inner]
    return Folder(name, levels_of(graph, files), [folder_of(graph, child) for child in inner])


def levels_of(graph: grimp.ImportGraph, files: Sequence[str]) -> list[list[str]]:
    """Files by the length of the longest chain of imports among them, the shortest first."""
    below = {name: graph.find_modules_directly_imported_by(name) & set(files) for name in files}
    level: dict[str, int] = {}

    def height(name: str) -> int:
        if name not in level:
            level[name] = 0  # a circle would end here; the import contracts forbid them
            level[name] = 1 + max((height(other) for other in below[name]), default=-1)
        return level[name]

    rows: dict[int, list[str]] = defaultdict(list)
    for name in files:
        rows[height(name)].append(name)
    return [sorted(rows[n]) for n in sorted(rows)]


def every_folder(folder: Folder) -> Iterable[Folder]:
    """A folder and all in it."""
    yield folder
    for inner in folder.inner:
        yield from every_folder(inner)


def links(graph: grimp.ImportGraph, packages: Sequence[str]) -> set[tuple[str, str]]:
    """(importing package, imported package), each pair once."""
    found = set()
    for module in graph.modules:
        here = package_of(module, packages)
        for other in graph.find_modules_directly_imported_by(module):
            there = package_of(other, packages)
            if here and there and here != there:
                found.add((here, there))
    return found


def package_of(module: str, packages: Sequence[str]) -> str:
    """The package among `packages` that a module belongs to; empty for none."""
    return next((name for name in packages if module == name or module.startswith(f"{name}.")), "")


class Drawing:
    """Collects SVG elements. Positions are those of the upper left corner."""

    def __init__(self) -> None:
        self.parts: list[str] = []

    def rect(self, box: Box, fill: str, stroke: str, radius: int = 4) -> None:
        """A rounded rectangle."""
        self.parts.append(
            f'<rect x="{box.x:.0f}" y="{box.y:.0f}" width="{box.w:.0f}" height="{box.h:.0f}" rx="{radius}" '
            f'fill="{fill}" stroke="{stroke}"/>'
        )

    def text(self, x: float, y: float, text: str, *, size: int = 10, bold: bool = False) -> None:
        """A line of text."""
        weight = ' font-weight="bold"' if bold else ""
        self.parts.append(f'<text x="{x:.0f}" y="{y:.0f}" font-size="{size}"{weight}>{escape(text)}</text>')

    def line(self, start: tuple[float, float], end: tuple[float, float]) -> None:
        """A curve from a package down to one that it imports."""
        (x, y), (u, v) = start, end
        middle = (y + v) / 2
        self.parts.append(
            f'<path d="M{x:.0f},{y:.0f} C{x:.0f},{middle:.0f} {u:.0f},{middle:.0f} {u:.0f},{v:.0f}" '
            'fill="none" stroke="#667" stroke-opacity="0.22"/>'
        )


def room_rows(level: Sequence[str], width: float) -> list[list[str]]:
    """The rooms of one level in as many rows as they need."""
    rows: list[list[str]] = [[]]
    used = 0.0
    for name in level:
        wide = room_width(name) + ROOM_GAP
        if rows[-1] and used + wide > width:
            rows.append([])
            used = 0.0
        rows[-1].append(name)
        used += wide
    return rows


def room_width(name: str) -> float:
    """How wide a room is drawn."""
    return LETTER * len(short(name)) + 10


def short(name: str) -> str:
    """The last part of a dotted name."""
    return name.rpartition(".")[2]


def height_of(folder: Folder, width: float) -> float:
    """How high a folder is drawn."""
    rows = sum(len(room_rows(level, width - 2 * PAD)) for level in folder.levels)
    gaps = max(0, len(folder.levels) - 1) * ROOM_GAP
    inner = sum(max(heights) + PAD for heights in _inner_heights(folder, width))
    return TITLE_H + rows * (ROOM_H + ROOM_GAP) + gaps + PAD + inner


def _inner_rows(folder: Folder, width: float) -> tuple[list[list[Folder]], float]:
    """The folders in a folder, side by side as far as it is wide, and how wide each is."""
    inside = width - 2 * PAD
    columns = max(1, min(len(folder.inner), int(inside // INNER_W)))
    rows = [folder.inner[n : n + columns] for n in range(0, len(folder.inner), columns)]
    return rows, (inside - PAD * (columns - 1)) / columns


def _inner_heights(folder: Folder, width: float) -> list[list[float]]:
    rows, wide = _inner_rows(folder, width)
    return [[height_of(inner, wide) for inner in row] for row in rows]


def draw_folder(drawing: Drawing, folder: Folder, box: Box, fill: str) -> None:
    """A folder's frame, its files with the highest level on top, then the folders in it."""
    drawing.rect(box, fill, "#99a")
    drawing.text(box.x + PAD, box.y + 14, short(folder.name), size=12, bold=True)
    y, inside = box.y + TITLE_H, box.w - 2 * PAD
    for level in reversed(folder.levels):
        for row in room_rows(level, inside):
            x = box.x + PAD
            for name in row:
                room = Box(x, y, room_width(name), ROOM_H)
                drawing.rect(room, "#ffffff", "#bbc", radius=3)
                drawing.text(x + 5, y + 12, short(name))
                x += room.w + ROOM_GAP
            y += ROOM_H + ROOM_GAP
        y += ROOM_GAP
    rows, wide = _inner_rows(folder, box.w)
    for row, heights in zip(rows, _inner_heights(folder, box.w), strict=True):
        x = box.x + PAD
        for inner, height in zip(row, heights, strict=True):
            draw_folder(drawing, inner, Box(x, y, wide, height), "#ffffffaa")
            x += wide + PAD
        y += max(heights) + PAD


def width_of(folder: Folder) -> float:
    """As wide as its folders side by side, at most four; packages of few rooms are narrow."""
    if folder.inner:
        return min(4, len(folder.inner)) * INNER_W + PAD * (min(4, len(folder.inner)) + 1)
    return FOLDER_W if folder.rooms > 3 else 0.6 * FOLDER_W


def house(graph: grimp.ImportGraph, plan: Sequence[Sequence[str]]) -> str:
    """The whole drawing as SVG."""
    drawing, boxes = Drawing(), dict[str, Box]()
    y: float = MARGIN
    frames: list[tuple[Folder, Box, str]] = []
    for number, floor in enumerate(plan):
        folders = [folder_of(graph, f"{PACKAGE}.{name}") for name in floor]
        for row in _rows(folders):
            wide = sum(map(width_of, row)) + GAP * (len(row) - 1)
            x = MARGIN + (PAGE - 2 * MARGIN - wide) / 2
            tall = max(height_of(folder, width_of(folder)) for folder in row)
            for folder in row:
                box = Box(x, y, width_of(folder), height_of(folder, width_of(folder)))
                boxes[folder.name] = box
                frames.append((folder, box, COLOURS[number % len(COLOURS)]))
                x += box.w + GAP
            y += tall + 2 * GAP
    for here, there in sorted(links(graph, list(boxes))):
        a, b = boxes[here], boxes[there]
        drawing.line((a.x + a.w / 2, a.y + a.h), (b.x + b.w / 2, b.y))
    for folder, box, fill in frames:
        draw_folder(drawing, folder, box, fill)
    body = "\n".join(drawing.parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {PAGE} {y:.0f}" font-family="sans-serif">\n'
        f'<rect width="100%" height="100%" fill="white"/>\n{body}\n</svg>\n'
    )


def _rows(folders: Sequence[Folder]) -> list[list[Folder]]:
    """Packages of one floor, side by side as far as the page is wide."""
    rows: list[list[Folder]] = [[]]
    for folder in folders:
        used = sum(map(width_of, rows[-1])) + GAP * len(rows[-1])
        if rows[-1] and used + width_of(folder) > PAGE - 2 * MARGIN:
            rows.append([])
        rows[-1].append(folder)
    return rows


def crowded(graph: grimp.ImportGraph, plan: Sequence[Sequence[str]]) -> Mapping[str, int]:
    """Every folder and the number of its files."""
    found = {}
    for floor in plan:
        for name in floor:
            for folder in every_folder(folder_of(graph, f"{PACKAGE}.{name}")):
                found[folder.name] = folder.rooms
    return found


def build_graph() -> grimp.ImportGraph:
    """Files and imports, read from the source without importing it."""
    return grimp.build_graph(PACKAGE, include_external_packages=False, cache_dir=None)


def main() -> None:
    """Write the picture, and say how many rooms there are."""
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "docs" / "house.svg"
    graph, plan = build_graph(), floors()
    target.write_text(house(graph, plan), encoding="utf-8")
    rooms = crowded(graph, plan)
    most = max(rooms, key=lambda name: rooms[name])
    print(f"{target}: {sum(rooms.values())} files in {len(rooms)} folders; most in {most}: {rooms[most]}")


if __name__ == "__main__":
    main()
