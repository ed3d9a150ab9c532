"""A fault campaign: what runs, sweeps and the book survive, shown by breaking them.

    make faults                                       # about twenty minutes; writes benchmarks/results/faults.json
    cd benchmarks; python -m faults --quick --output FILE      # seconds: a few faults of every kind

A trial starts a tiny training, breaks it, and asks whether every promise is kept:

- what can be read between the fault and the next call is whole, and equals that of an undisturbed run;
- a call that fails says why in one sentence, with a status that is not zero;
- the next call finishes, and its record equals an undisturbed run's bit for bit, cost and provenance apart;
- nothing is left behind: no temporary file, no checkpoint, no lock.

Most trials run `resperturb run` in a process forked from one that has imported PyTorch already, since the import takes
longer than the training; checkpoints are saved after every epoch there. The others are the real commands, in a copy of
the tree whose one change is that checkpoints are saved after every epoch.
"""
