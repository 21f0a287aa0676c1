"""What can go wrong in a way that the user can mend.

PrunebenchError
├── ConfigError         a setting that is unknown, missing, mistyped or out of bounds
│   └── UnknownName     a name that no registry holds
├── DataError           data that is missing, malformed or cannot be downloaded
│   └── DownloadNeeded  data or weights are not here, and nothing may be downloaded
├── ModelError          weights or inputs that do not fit the architecture
├── DeviceError         a device that this machine does not have, or that has not enough memory
├── DiskError           files that cannot be written: no space, no permission
├── RunError            a run that is missing or damaged, or does not fit what is asked of it
│   ├── AmbiguousRun    several runs have the name that was given
│   └── RunLocked       another process computes the run
└── Stopped             no error: the work was asked to stop, and has kept what it had

Each message says what is wrong and what to do. The library raises; only the command line prints and exits.
"""


class PrunebenchError(Exception):
    """Base of everything that the user can mend."""


class ConfigError(PrunebenchError):
    """A setting is unknown, missing, mistyped or out of bounds."""


class UnknownName(ConfigError):
    """A name that no registry holds; the message lists what exists and the nearest match."""


class DataError(PrunebenchError):
    """Data is missing, malformed or cannot be downloaded."""


class DownloadNeeded(DataError):
    """Data or weights are not on this machine, and downloading is not allowed now."""


class ModelError(PrunebenchError):
    """Weights or inputs do not fit the architecture."""


class DeviceError(PrunebenchError):
    """This machine does not have the device that was asked for, or the device has not enough memory."""


class DiskError(PrunebenchError):
    """Files cannot be written: no space, a quota, no permission."""


class RunError(PrunebenchError):
    """A run is missing or damaged, or does not fit what is asked of it."""


class AmbiguousRun(RunError):
    """Several runs have the name that was given; the message lists them."""


class RunLocked(RunError):
    """Another process computes the run; the message says which."""


class Stopped(PrunebenchError):
    """The work was asked to stop, and has kept what it had."""
