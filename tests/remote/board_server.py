"""A board server whose faults the test sets: `python board_server.py ADDRESS CMA_MIB`, then lines of JSON on stdin.

Each line is an object of attributes of ``board.faults``; it is answered by the line "set".
"""

import json
import sys
import threading

from pynq_qsnn.emulator.board import Board
from pynq_qsnn.emulator.remote import parse_address, serve
from pynq_qsnn.emulator.session import hls_simulation
from pynq_qsnn.hwspec import load_config


def take_orders(board: Board) -> None:
    for line in sys.stdin:
        for name, value in json.loads(line).items():
            assert hasattr(board.faults, name), name
            setattr(board.faults, name, value)
        print("set", flush=True)


config = load_config()
board = Board(config, hls_simulation(config), int(sys.argv[2]) << 20)
threading.Thread(target=take_orders, args=(board,), daemon=True).start()
serve(board, parse_address(sys.argv[1]))
