"""Prompt files as people have them: used right, or refused with row and column."""

import json

import pytest

from advunlearn_lib.base.errors import UserError
from advunlearn_lib.data.prompt_files import read_prompts

SEEDS = [("a church", 7), ("a dog", 8)]
PLAIN = [("a church", 0), ("a dog", 1)]


def jsonl(*rows: object) -> bytes:
    return "\n".join(json.dumps(row) for row in rows).encode()


@pytest.mark.parametrize(("name", "content", "expected"), [
    ("i2p.csv", b",prompt,categories,sd_seed,sd_guidance_scale\n0,a church,x,7,7\n1,a dog,x,8,5.5\n",
     [("a church", 7, 7.0), ("a dog", 8, 5.5)]),
    ("own.csv", b"prompt,seed\na church,7\na dog,8\n", SEEDS),
    ("two.csv", b"sd_seed,prompt,evaluation_seed\n1,a church,7\n2,a dog,8\n", SEEDS),
    ("Capital.CSV", b"Prompt,Seed\na church,7\na dog,8\n", SEEDS),
    ("pandas.csv", b"prompt,evaluation_seed\na church,7.0\na dog,8.0\n", SEEDS),
    ("comma.csv", b'prompt,seed\n"a church, old",7\n', [("a church, old", 7)]),
    ("one.csv", b'prompt\na church, old\n"a ""fine"" dog, fat"\n',
     [("a church, old", 0), ('a "fine" dog, fat', 1)]),
    ("tabs.tsv", b"prompt\tseed\na church\t7\na dog\t8\n", SEEDS),
    ("comma.tsv", b"prompt\tseed\na church, old\t7\n", [("a church, old", 7)]),
    ("semicolon.csv", b"prompt;seed\na church;7\na dog;8\n", SEEDS),
    ("blanks.csv", b'seed, prompt\n7, "a church, old"\n8, a dog\n', [("a church, old", 7), ("a dog", 8)]),
    ("bom.csv", "prompt,seed\na church,7\na dog,8\n".encode("utf-8-sig"), SEEDS),
    ("bom.txt", "a church\na dog\n".encode("utf-8-sig"), PLAIN),
    ("wide.csv", "prompt,seed\na church,7\na dog,8\n".encode("utf-16"), SEEDS),
    ("wide.txt", "a church\na dog\n".encode("utf-16"), PLAIN),
    ("windows.csv", b"prompt,seed\r\na church,7\r\na dog,8\r\n", SEEDS),
    ("windows.txt", b"a church\r\n\r\na dog\r\n", PLAIN),
    ("mac.csv", b"prompt,seed\ra church,7\ra dog,8\r", SEEDS),
    ("letters.txt", "une \u00e9glise\na\u2028dog".encode(), [("une \u00e9glise", 0), ("a\u2028dog", 1)]),
    ("words.csv", b"prompt,seed\nNone,7\nnull,8\nNA,9\n", [("None", 7), ("null", 8), ("NA", 9)]),
    ("twice.csv", b"prompt,seed\na dog,8\na dog,8\n", [("a dog", 8), ("a dog", 8)]),
    ("gaps.csv", b"\nprompt,seed\n\na church,7\n\na dog,8\n\n", SEEDS),
    ("objects.jsonl", jsonl({"prompt": "a church", "sd_seed": 7}, {"prompt": "a dog", "sd_seed": 8}), SEEDS),
    ("objects.jsonl", jsonl({"Prompt": "a church", "x": [1]}, {"Prompt": "a dog"}) + b"\n", PLAIN),
    ("large.csv", b"prompt,seed\na church,9223372036854775807\n", [("a church", 2**63 - 1)]),
])  # fmt: skip
def test_it_is_used_right(name, content, expected, tmp_path):
    (tmp_path / name).write_bytes(content)
    read = [(prompt.text, prompt.seed, prompt.guidance_scale) for prompt in read_prompts(tmp_path / name)]
    assert read == [(*row, None)[:3] for row in expected]


@pytest.mark.parametrize(("name", "content", "message"), [
    ("comma.csv", b"prompt,seed\na dog,7\na church, old,8\n", "row 2: 3 cells for 2 columns; a prompt with"),
    ("first.csv", b"prompt,seed\na church, old,7\n", "row 1: 3 cells for 2 columns"),
    ("short.csv", b"seed,prompt\n7,a church\n8\n", "row 2: column 'prompt' is '', not a text"),
    ("empty.csv", b"prompt,seed\na church,7\n ,8\n", "row 2: column 'prompt' is ' ', not a text"),
    ("end.csv", b"prompt,seed\na church,7\n,\n", "row 2: column 'prompt' is '', not a text"),
    ("seedless.csv", b"prompt,seed\na church,7\na dog,\n", "row 2: column 'seed' is '', not a seed"),
    ("nan.csv", b"prompt,seed\na church,nan\n", "row 1: column 'seed' is 'nan', not a seed"),
    ("half.csv", b"prompt,sd_seed\na church,1.5\n", "row 1: column 'sd_seed' is '1.5', not a seed"),
    ("minus.csv", b"prompt,seed\na church,-1\n", "row 1: column 'seed' is '-1', not a seed"),
    ("large.csv", b"prompt,evaluation_seed\na church,9223372036854775808\n",
     "row 1: column 'evaluation_seed' is '9223372036854775808', not a seed (0 to 9223372036854775807)"),
    ("scale.csv", b"prompt,guidance_scale\na church,7.5\na dog,nan\n",
     "row 2: column 'guidance_scale' is 'nan', not a guidance scale (0 to 100)"),
    ("strong.csv", b"prompt,sd_guidance_scale\na church,1e9\n", "row 1: column 'sd_guidance_scale' is '1e9'"),
    ("weak.csv", b"prompt,evaluation_guidance\na church,\n", "row 1: column 'evaluation_guidance' is ''"),
    ("headless.csv", b"a church,7\na dog,8\n", "has no column 'prompt' (needed: prompt)"),
    ("double.csv", b"prompt,seed,Prompt\na church,7,a dog\n", "has two columns 'prompt'"),
    ("open.csv", b'prompt,seed\n"a church,7\na dog,8\n', "line 3: unexpected end of data"),
    ("western.csv", "prompt\na dog\na caf\u00e9\n".encode("cp1252"), "line 3: not UTF-8; save it as UTF-8"),
    ("western.txt", "a caf\u00e9\n".encode("cp1252"), "line 1: not UTF-8; save it as UTF-8"),
    ("wide.txt", "a church\n".encode("utf-16-le"), "is not text in UTF-8 or UTF-16"),
    ("nothing.csv", b"", "has no rows"),
    ("header.csv", b"prompt\n\n", "has no rows"),
    ("nothing.txt", b"\n\n", "has no rows"),
    ("nothing.jsonl", b"", "has no rows"),
    ("lines.jsonl", b'{"prompt": "a church"}\na dog\n', "row 2: not a JSON object"),
    ("list.jsonl", b'["a church"]\n', "row 1: not a JSON object"),
    ("null.jsonl", jsonl({"prompt": "a church"}, {"prompt": None}), "row 2: column 'prompt' is ''"),
    ("many.jsonl", jsonl({"prompt": ["a church", "a dog"]}), "row 1: column 'prompt' is ''"),
    ("some.jsonl", jsonl({"prompt": "a church", "seed": 7}, {"prompt": "a dog"}), "row 2: column 'seed' is"),
    ("sheet.xlsx", b"PK", "(allowed: .csv, .tsv, .jsonl, .txt)"),
    ("array.json", b'[{"prompt": "a church"}]', "(allowed: .csv, .tsv, .jsonl, .txt)"),
])  # fmt: skip
def test_it_is_refused_with_its_place(name, content, message, tmp_path):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError) as refused:
        read_prompts(tmp_path / name)
    assert message in str(refused.value) and name in str(refused.value) and "\n" not in str(refused.value)


def test_what_is_no_file_is_named(tmp_path):
    for place, message in ((tmp_path / "none.csv", "no such prompts file"), (tmp_path, "cannot read the")):
        with pytest.raises(UserError, match=message):
            read_prompts(place)
