"""``python -m advunlearn_lib.cli``."""

from advunlearn_lib.cli.main import main

raise SystemExit(main())
