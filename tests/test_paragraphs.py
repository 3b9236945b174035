"""Markdown with each paragraph on one line."""

from __future__ import annotations

from textwrap import dedent

import pytest

from tutelage.core.formats.paragraphs import unwrapped


def of(text: str) -> str:
    return unwrapped(dedent(text).strip("\n"))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("one\ntwo\n  three", "one two three"),
        ("one\ntwo\n\nthree\nfour", "one two\n\nthree four"),
        ("# Head\ntext\ngoes on", "# Head\ntext goes on"),
        ("text\n## Head\nmore", "text\n## Head\nmore"),
        ("- one\n  goes on\n- two\nlazily", "- one goes on\n- two lazily"),
        ("text:\n- one\n- two", "text:\n- one\n- two"),
        ("- one\n  - inner\n    goes on\n* star", "- one\n  - inner goes on\n* star"),
        ("1. one\n2. two\n   goes on\n10) ten", "1. one\n2. two goes on\n10) ten"),
        ("In the year\n2024. And then", "In the year 2024. And then"),
        ("text:\n1. one\n2. two", "text:\n1. one\n2. two"),
        ("a break  \nstays\nhere", "a break  \nstays here"),
        ("a break\\\nstays", "a break\\\nstays"),
        ("> a quote\n> goes on\n>\n> - item\n>   more", "> a quote goes on\n>\n> - item more"),
        ("text\n\n    code\n    stays\n\ntext\ngoes on", "text\n\n    code\n    stays\n\ntext goes on"),
        ("text\n    is no code", "text is no code"),
        ("```\ncode\n# stays\n\n- x\ny\n```\ntext\non", "```\ncode\n# stays\n\n- x\ny\n```\ntext on"),
        ("~~~ py\na\n```\nb\n~~~\nc\nd", "~~~ py\na\n```\nb\n~~~\nc d"),
        (
            "- item\n\n  second\n  paragraph\n\n      code\n      stays",
            "- item\n\n  second paragraph\n\n      code\n      stays",
        ),
        ("- item\n  ```\n  code\n  stays\n  ```\n  on\n  it", "- item\n  ```\n  code\n  stays\n  ```\n  on it"),
        ("| a | b |\n|---|---|\n| 1 | 2 |\n\nx\ny", "| a | b |\n|---|---|\n| 1 | 2 |\n\nx y"),
        ("a | b\n--|--\n1 | 2\n3 | 4", "a | b\n--|--\n1 | 2\n3 | 4"),
        ("Head\n====\ntext\non", "Head\n====\ntext on"),
        ("Head\nin two\n---\ntext\non", "Head in two\n---\ntext on"),
        ("text\n\n***\ntext\non", "text\n\n***\ntext on"),
        ("[a]: https://a\n[b]: https://b", "[a]: https://a\n[b]: https://b"),
        ("这个词\n的意思", "这个词的意思"),
        ("词 a\nb 词", "词 a b 词"),
        ("- -1 is negative\n-2 too", "- -1 is negative -2 too"),
        ("*stress* is\n*no* item", "*stress* is *no* item"),
        ("", ""),
        ("\n\n", "\n\n"),
        ("```\n\tcode\n```", "```\n\tcode\n```"),
        ("- item\n\tgoes on\n\ntext\non", "- item goes on\n\ntext on"),
    ],
)
def test_a_paragraph_becomes_one_line_and_all_else_stays(text: str, shown: str) -> None:
    assert unwrapped(text) == shown
    assert unwrapped(shown) == shown, "once is enough"


def test_what_has_no_wrapped_lines_stays_to_the_letter() -> None:
    text = of("""
        # Head

        One long line.

        1. one
           1. inner
        2. two

        > quote

        | a |
        |---|
    """)
    assert unwrapped(text) == text
