"""Tickets in the admin."""

from django.contrib import admin

from .models import Ticket


@admin.register(Ticket)
class TicketAdmin(admin.ModelAdmin):
    """A list with what one looks for first."""

    list_display = ["summary", "state"]
