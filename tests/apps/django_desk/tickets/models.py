"""What a service desk keeps."""

from django.db import models


class Ticket(models.Model):
    """One request to the desk."""

    class State(models.TextChoices):
        """Where a ticket stands."""

        OPEN = "open"
        WAITING = "waiting"
        DONE = "done"

    summary = models.CharField(max_length=200)
    detail = models.TextField(blank=True)
    state = models.CharField(max_length=10, choices=State, default=State.OPEN)

    def __str__(self) -> str:
        return self.summary
