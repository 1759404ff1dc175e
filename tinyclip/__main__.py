"""`python -m tinyclip`."""

from .cli.main import main

raise SystemExit(main())
