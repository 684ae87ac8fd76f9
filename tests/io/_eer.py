"""Write a small EER file: an encoder of its own, from the format's description, as oracle of the reader.

Bit stream, least significant bit first: 7 bits of pixels to skip (127: skip 127 and no event), then 2 bits of
sub-pixel in x and 2 in y, each XORed with 2; frames are pages of a BigTIFF with compression 65001.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path

import numpy as np

#: (y, x, sub-pixel y 0..3, sub-pixel x 0..3), rows from the top.
Event = tuple[int, int, int, int]


def encode(events: Sequence[Event], shape: tuple[int, int]) -> bytes:
    bits: list[int] = []
    position = 0

    def put(value: int, count: int) -> None:
        bits.extend((value >> k) & 1 for k in range(count))

    for y, x, sub_y, sub_x in sorted(events):
        skip = y * shape[1] + x - position
        while skip >= 127:
            put(127, 7)
            skip -= 127
        put(skip, 7)
        put(sub_x ^ 2, 2)
        put(sub_y ^ 2, 2)
        position = y * shape[1] + x + 1
    rest = shape[0] * shape[1] - position
    while rest >= 127:
        put(127, 7)
        rest -= 127
    put(rest, 7)
    bits += [1] * (-len(bits) % 16)
    return np.packbits(np.array(bits, np.uint8), bitorder="little").tobytes()


def write_eer(path: Path, frames: Sequence[Sequence[Event]], shape: tuple[int, int], dose_px: float) -> None:
    metadata = f'<metadata><item name="totalDose" unit="e/pixel">{dose_px}</item></metadata>'.encode()
    data = bytearray(b"II" + struct.pack("<HHHQ", 43, 8, 0, 0))
    links = [8]
    for number, events in enumerate(frames):
        stream = encode(events, shape)
        at = len(data)
        data += stream + b"\0" * (-len(stream) % 8)
        tags = [
            (256, 4, 1, shape[1]),
            (257, 4, 1, shape[0]),
            (258, 3, 1, 1),
            (259, 3, 1, 65001),
            (262, 3, 1, 1),
        ]
        tags += [(273, 16, 1, at), (277, 3, 1, 1), (278, 4, 1, shape[0]), (279, 16, 1, len(stream))]
        if number == 0:
            tags.append((65001, 7, len(metadata), len(data)))
            data += metadata + b"\0" * (-len(metadata) % 8)
        struct.pack_into("<Q", data, links[-1], len(data))
        data += struct.pack("<Q", len(tags))
        for code, kind, count, value in tags:
            data += struct.pack("<HHQQ", code, kind, count, value)
        links.append(len(data))
        data += struct.pack("<Q", 0)
    path.write_bytes(bytes(data))
