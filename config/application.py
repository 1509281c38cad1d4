"""The application object that `JOBYARD_APP=config.application` names."""

from config.queues import QUEUES
from config.settings import CollectSettings, ImagesSettings, MailboxSettings, SmtpSettings
from jobyard import Application

application = Application(
    tasks=("tasks.mail.task", "tasks.images.task", "tasks.collect.task"),
    queues=QUEUES,
    settings={
        "smtp": SmtpSettings,
        "mailbox": MailboxSettings,
        "collect": CollectSettings,
        "images": ImagesSettings,
    },
    schedules="beat.schedules",
    doors="api.doors",
    local="config.local",
)
