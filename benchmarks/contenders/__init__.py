"""Who is measured, by name. One module per family."""

from benchmarks.contenders.base import Contender
from benchmarks.contenders.floor import Floor
from benchmarks.contenders.nchan import Nchan
from benchmarks.contenders.ours import Ours
from benchmarks.contenders.python_peers import Bare, EvalshaPerRequest, Recipe
from benchmarks.contenders.socketio import SocketIo

CONTENDERS: dict[str, type[Contender]] = {
    each.name: each for each in (Ours, Nchan, Floor, SocketIo, Recipe, Bare, EvalshaPerRequest)
}

__all__ = ["CONTENDERS", "Contender"]
