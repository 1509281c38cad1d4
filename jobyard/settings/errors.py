"""The error for a wrong setting, a wrong queue, or an application that cannot be found."""


class SettingsError(ValueError):
    """One or more settings or declarations are wrong; the message names each of them, with the fix."""
