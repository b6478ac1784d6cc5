"""The errors a user may see. Each message says what, where, how much, and the way out."""


class ToolError(Exception):
    """Base of every expected failure; `cli` prints its one line and exits with `exit_code`."""

    exit_code = 1


class UsageError(ToolError):
    """An argument names a file, board or choice that is not there."""

    exit_code = 2


class ModelError(ToolError):
    """The model file is malformed, truncated, or uses something the importer does not read."""


class UnsupportedError(ModelError):
    """The model is well-formed, but one of its operators has no implementation here."""


class BoardError(ToolError):
    """A board profile is wrong, or no board has the name asked for."""


class PlanError(ToolError):
    """The model does not fit the board; the message carries the numbers."""


class BuildError(ToolError):
    """A toolchain or third-party source is missing or failed."""


class DeviceError(ToolError):
    """A board (real or virtual) did not start, answer, or answer as specified."""


class ImageError(ToolError):
    """An image is malformed, does not verify, or does not fit where it is to go."""


class KeyFileError(ToolError):
    """A key file is missing, unreadable, of the wrong kind, or too open to others."""


class FleetError(ToolError):
    """The fleet's database does not answer, or holds something else than it should."""


class VoucherError(ToolError):
    """A voucher or receipt is malformed, not signed, or not for this device or model."""
