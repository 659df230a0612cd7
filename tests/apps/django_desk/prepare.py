"""Makes the database: tables, tickets, one superuser.

    python prepare.py USERNAME PASSWORD

`DESK_DATA` names an empty folder.
"""

import os
import secrets
import sys
from pathlib import Path


def main(username: str, password: str) -> None:
    """Fills the folder."""
    (Path(os.environ["DESK_DATA"]) / "secret_key").write_text(secrets.token_urlsafe(50), "ascii")
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "desk.settings")

    import django
    from django.core.management import call_command

    django.setup()
    call_command("migrate", verbosity=0)
    call_command("loaddata", "tickets", verbosity=0)

    from django.contrib.auth import get_user_model

    get_user_model().objects.create_superuser(username, password=password)


if __name__ == "__main__":
    main(*sys.argv[1:])
