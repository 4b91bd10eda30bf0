"""Search of bit-budget allocations: which weight bits, spike bits and time steps are worth what they cost.

:mod:`.space` says what may be tried, :mod:`.data` what it is judged on, :mod:`.objective` trains, exports and measures
one allocation, :mod:`.study` runs many in worker processes and keeps them in an Optuna study, :mod:`.pareto` and
:mod:`.figures` show what came out. Only :mod:`.study` and :mod:`.storage` need Optuna, and only worker processes load
torch.
"""
