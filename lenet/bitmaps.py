"""The fixed codes of LeNet-5's output: a stylised 7x12 bitmap a digit (LeCun et al. 1998, figure 3).

The paper prints them as a picture only; these are drawn after it. Pixels are +1 and -1, where the squashing function of
the layer below bends most. Values only, no torch.
"""

from __future__ import annotations

ROWS, COLUMNS = 12, 7

DRAWN = """
..###..  ..##...  .#####.  #######  .##..##  #######  ..####.  #######  .#####.  ..###..
.#...#.  .###...  #.....#  ......#  .##..##  #......  .##...#  ......#  #.....#  .#...##
#.....#  ####...  ......#  .....#.  .##..##  #......  ##.....  .....##  #.....#  #.....#
#.....#  ..##...  ......#  ....#..  .#...##  #......  #......  .....#.  #.....#  #.....#
#.....#  ..##...  .....##  ...##..  ##...##  ######.  #.###..  ....##.  .#...#.  #....##
#.....#  ..##...  ....##.  ....##.  ##...##  .....##  ##...#.  ....#..  ..###..  .######
#.....#  ..##...  ...##..  .....##  #######  ......#  #.....#  ...##..  .#...#.  ......#
#.....#  ..##...  ..##...  ......#  .....##  ......#  #.....#  ...#...  #.....#  ......#
#.....#  ..##...  .##....  ......#  .....##  ......#  #.....#  ..##...  #.....#  .....##
#.....#  ..##...  ##.....  #.....#  .....##  #.....#  #.....#  ..#....  #.....#  .....#.
.#...#.  ..##...  #......  ##...##  .....##  ##...##  .#...#.  .##....  #.....#  #...##.
..###..  .####..  #######  .#####.  .....##  .#####.  ..###..  .#.....  .#####.  .####..
"""


def read_bitmaps() -> list[list[float]]:
    """A code of 84 values +1 or -1 for each of the digits 0 to 9, row by row."""
    rows = [line.split() for line in DRAWN.strip().splitlines()]
    return [[1.0 if pixel == "#" else -1.0 for row in rows for pixel in row[digit]] for digit in range(10)]
