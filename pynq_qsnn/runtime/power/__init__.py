"""Energy of a frame from the board's one power sensor.

The KV260 carries an INA260 in the supply of the whole module: processors, programmable logic and DDR together. It
averages over 140.8 ms, so energy is the integral of its readings over arms of many seconds, some idle and some running,
in random order. :mod:`.hwmon` and :mod:`.rails` read a sensor, :mod:`.meter` samples one in a thread, :mod:`.trace`
integrates, :mod:`.arms` alternates idle and running, :mod:`.report` turns the arms into figures and says what is wrong
with them, :mod:`.pl_clocks` stops the PL clocks that nobody needs, :mod:`.figure` draws.
"""
