"""Flower's configuration file (`--conf=config/flower.py`): where it listens, and its password."""

from config.flower_password import flower_password
from config.settings import get_settings

_settings = get_settings().flower

address = _settings.host
port = _settings.port
basic_auth = [f"{_settings.user}:{flower_password(get_settings())}"]
max_tasks = 10_000
logging = "warning"
