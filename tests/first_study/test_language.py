import pytest

from growlab.first_study.language import describe_language


@pytest.mark.parametrize(
    ("sample", "described"),
    [
        ("It was the best of times, it was the worst of times, and the age of wisdom was with us.", "English"),
        ("Der Mann ist nicht in das Haus gegangen, und die Frau hat sich zu dem Kind gesetzt.", "German"),
        ("Bir gün evin önünde bir adam durdu ve bu kadar çok insan için ne gibi bir şey olur dedi.", "Turkish"),
        ("Он не знал, что это было, и как он с ним пошёл на берег.", "Russian"),
    ],
)
def test_a_language_is_told_by_its_commonest_words(sample: str, described: str) -> None:
    assert describe_language(sample).endswith(f"by its commonest words {described}")


def test_letters_are_named_where_no_language_stands_out() -> None:
    assert describe_language("qwx zzt 日本語 かな") == "Latin letters and Chinese characters and Japanese kana"
    assert describe_language("0101 1110 ...") == "no letters"
