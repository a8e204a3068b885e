"""The items of the paper: tables and figures with numbers, and figures that are pictures."""

TABLES = {  # items with numbers -> their name in reported.csv
    **{
        f"table{name}": name
        for name in ("1", "2", "3", "4", "5", "6", "7", "8", "9", "A1", "A2", "A3", "A4", "A5")
    },
    "figure8": "Fig 8",
    "figureA3": "Fig A3",
}
FIGURES = {  # pictures, and what they draw on: the table whose models they show
    "figure1": "5",
    "figure2": "5",
    "figure3": "1",
    "figure4": "5",
    "figure5": "6",
    "figure6": "7",
    "figure7": "8",
    "figureA1": "A1",
    "figureA2": "A2",
}
ITEMS = (*TABLES, *FIGURES)
BEYOND = (  # notebooks of our own
    "00_tour",
    "deviations",
    "beyond_attack_cost",
    "beyond_calibration",
    "beyond_neighbours",
    "beyond_oracle",
    "beyond_settings",
)


def has_numbers(name: str) -> bool:
    """Does the item show a table's numbers, and not pictures alone?"""
    return name in TABLES or name == "figure2"
