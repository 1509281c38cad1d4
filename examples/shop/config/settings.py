"""Settings of the shop, read from `JOBYARD_SHOP__...`."""

from pydantic import Field

from jobyard import SettingsSection


class ShopSettings(SettingsSection):
    orders_per_month: int = Field(100, ge=0, description="Orders that the first month of a year has.")
