"""Lists of texts that the paper profile gives to methods and attacks."""

from __future__ import annotations

IMAGENETTE = (
    "tench", "English springer", "cassette player", "chain saw", "church",
    "French horn", "garbage truck", "gas pump", "golf ball", "parachute",
)  # fmt: skip
SUBJECTS = (
    "a village", "a harbour", "a wheat field", "an old bridge", "a vase of flowers", "two fishing boats",
    "a mountain", "a forest path", "a street corner", "an old man", "a woman reading", "a bowl of fruit",
    "three horses", "a windmill", "a garden", "a river bank", "a market place", "an empty chair",
    "a lighthouse", "a snowy valley",
)  # fmt: skip
SETTINGS = (
    "at dawn", "at dusk", "in the rain", "under a full moon", "in autumn",
    "in winter", "on a summer day", "in a storm", "in the fog", "by candlelight",
)  # fmt: skip
ANCHORS = tuple(f"painting of {subject} {setting}" for subject in SUBJECTS for setting in SETTINGS)
"""AC's official list has 200 painting prompts too; these are our own."""

ARTISTS = (
    "Caravaggio", "Leonardo da Vinci", "Michelangelo", "Raphael", "Titian", "Sandro Botticelli", "El Greco",
    "Albrecht Durer", "Hieronymus Bosch", "Pieter Bruegel", "Jan van Eyck", "Peter Paul Rubens", "Rembrandt",
    "Johannes Vermeer", "Frans Hals", "Jacob van Ruisdael", "Diego Velazquez", "Francisco Goya", "Canaletto",
    "Thomas Gainsborough", "William Blake", "William Turner", "John Constable", "Caspar David Friedrich",
    "Eugene Delacroix", "Jacques-Louis David", "Gustave Courbet", "Jean-Francois Millet", "Camille Corot",
    "Edouard Manet", "Claude Monet", "Camille Pissarro", "Alfred Sisley", "Auguste Renoir", "Edgar Degas",
    "Mary Cassatt", "Berthe Morisot", "Paul Cezanne", "Paul Gauguin", "Georges Seurat", "Paul Signac",
    "Henri Rousseau", "Henri de Toulouse-Lautrec", "Gustav Klimt", "Egon Schiele", "Alphonse Mucha",
    "Edvard Munch", "James Ensor", "Odilon Redon", "Gustave Moreau", "John Singer Sargent", "Winslow Homer",
    "James Whistler", "Ilya Repin", "Ivan Aivazovsky", "Katsushika Hokusai", "Utagawa Hiroshige",
    "Kitagawa Utamaro", "Pablo Picasso", "Georges Braque", "Juan Gris", "Henri Matisse", "Andre Derain",
    "Amedeo Modigliani", "Marc Chagall", "Wassily Kandinsky", "Paul Klee", "Franz Marc", "August Macke",
    "Ernst Ludwig Kirchner", "Emil Nolde", "Kazimir Malevich", "Piet Mondrian", "Joan Miro", "Salvador Dali",
    "Rene Magritte", "Max Ernst", "Frida Kahlo", "Diego Rivera", "Georgia O'Keeffe", "Edward Hopper",
    "Grant Wood", "Norman Rockwell", "Jackson Pollock", "Mark Rothko", "Willem de Kooning", "Francis Bacon",
    "Lucian Freud", "David Hockney", "Roy Lichtenstein", "Andy Warhol", "Jasper Johns", "Keith Haring",
    "Jean-Michel Basquiat", "Yayoi Kusama", "Banksy", "Hilma af Klint", "Remedios Varo", "Leonora Carrington",
)  # fmt: skip
"""UCE's official list of 2023 has 1734 artists; these 99 are our own."""

# CCE's lists have 27 texts for objects, 19 for styles and 2 for persons; these are our own.
OBJECT_TEMPLATES = (
    "a photo of a {}", "a picture of the {}", "a close view of a {}", "a {} in the distance",
    "a bright photo of the {}", "a dark photo of a {}", "one {} seen from the side", "a fine photo of a {}",
)  # fmt: skip
STYLE_TEMPLATES = (
    "a painting in the style of {}", "a picture in the manner of {}", "a canvas in the style of {}",
    "a small painting in the style of {}", "a bright painting in the style of {}",
    "a dark painting in the style of {}",
)  # fmt: skip
PERSON_TEMPLATES = (
    "a portrait of a {}", "a photo of a {}", "a painting of a {}", "a {} seen whole", "a dark photo of a {}",
)  # fmt: skip
